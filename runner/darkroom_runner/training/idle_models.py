"""Models that the training steps don't need: off the device during the steps, back for images."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from darkroom_runner.models.device import Device, free_memory


class IdleModels:
    """The pipeline's components that are not used by the training steps."""

    def __init__(self, pipeline: Any, device: Device, names: tuple[str, ...]) -> None:
        self._pipeline = pipeline
        self._device = device
        self._names = names

    def put_away(self) -> None:
        """Free their memory on the device."""
        self._move(torch.device("cpu"))

    def bring_back(self) -> None:
        """All components are on the device again, to generate images."""
        self._move(self._device.torch_device)

    @contextmanager
    def present(self) -> Iterator[None]:
        """Inside, all components are on the device. For images in the middle of a training."""
        try:
            self.bring_back()
            yield
        finally:
            self.put_away()

    def _move(self, torch_device: torch.device) -> None:
        for name in self._names:
            getattr(self._pipeline, name).to(torch_device)
        free_memory()
