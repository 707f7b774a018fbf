"""Exponential moving average of the adapters, published instead of their last state if the job asks for one."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from diffusers.training_utils import EMAModel


class MovingAverage:
    """The average of the trained parameters, by diffusers' EMA: its decay rises from 0 in the first steps."""

    def __init__(self, parameters: dict[str, torch.nn.Parameter], decay: float) -> None:
        self._names = list(parameters)
        self._parameters = list(parameters.values())
        self._ema = EMAModel(self._parameters, decay=decay, foreach=True)

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """The averages by parameter; not copied."""
        return dict(zip(self._names, self._ema.shadow_params, strict=True))

    def update(self) -> None:
        """Add the parameters after an optimizer step."""
        self._ema.step(self._parameters)

    def restore(self, tensors: dict[str, torch.Tensor], step: int) -> None:
        """Continue from the averages of an earlier run after `step` steps."""
        for name, average in self.tensors.items():
            average.copy_(tensors[name])
        self._ema.optimization_step = step

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the parameters have their averages."""
        self._ema.store(self._parameters)
        self._ema.copy_to(self._parameters)
        try:
            yield
        finally:
            self._ema.restore(self._parameters)
