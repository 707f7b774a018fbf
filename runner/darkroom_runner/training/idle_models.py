"""Models that the training steps don't need: off the device during the steps, back for images."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from darkroom_runner.models.device import Device, free_memory
from darkroom_runner.models.meta_tensors import light_meta_tensors


class IdleModels:
    """The pipeline's components that are not used by the training steps.

    CUDA: they wait in the machine's memory. CPU: they are dropped, and read again from the base model's folder.
    """

    def __init__(self, pipeline: Any, device: Device, names: tuple[str, ...]) -> None:
        self._pipeline = pipeline
        self._device = device
        self._names = names
        self._away = False

    def put_away(self) -> None:
        """Free their memory on the device."""
        self._away = True
        target = torch.device("cpu" if self._device.is_cuda else "meta")
        for name in self._names:
            getattr(self._pipeline, name).to(target)
        free_memory()

    def bring_back(self) -> None:
        """All components are on the device again, to generate images."""
        if not self._away:
            return
        for name in self._names:
            if self._device.is_cuda:
                getattr(self._pipeline, name).to(self._device.torch_device)
            else:
                self._read_again(name)
        self._away = False  # Last: after a failure, the next image tries again.
        free_memory()

    @contextmanager
    def present(self) -> Iterator[None]:
        """Inside, all components are on the device. For images in the middle of a training.

        They are put away again even if the device has no memory for all of them.
        """
        try:
            self.bring_back()
            yield
        finally:
            self.put_away()

    def _read_again(self, name: str) -> None:
        dropped = getattr(self._pipeline, name)
        folder = Path(self._pipeline.name_or_path) / name
        variant = None if any(not each.name.endswith(".fp16.safetensors") for each in _weights(folder)) else "fp16"
        with light_meta_tensors():
            fresh = type(dropped).from_pretrained(folder, dtype=dropped.dtype, variant=variant, use_safetensors=True)
        setattr(self._pipeline, name, fresh.requires_grad_(False).eval())


def _weights(folder: Path) -> list[Path]:
    return list(folder.glob("*.safetensors"))
