"""The state of a training: parameters, optimizers, average and losses, saved to and restored from a safetensors file.

No random generator state is saved: the random numbers of a step depend only on the seed and the step's number.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import safetensors
import safetensors.torch
import torch
from safetensors import SafetensorError

from darkroom_contract.specs.training import Training
from darkroom_contract.specs.training_choices import Optimizer
from darkroom_runner.errors import first_line
from darkroom_runner.training.ema import MovingAverage
from darkroom_runner.training.optimizers import (
    OptimizerState,
    build_optimizers,
    expected_tensors,
    learning_rate_schedules,
    read_state,
    restore_state,
)

_LOSSES, _WEIGHT, _AVERAGE = "losses", "weight", "ema"
_OPTIMIZER, _NUMBERS = "optimizer", "optimizer_numbers"
"""Entries of the file's metadata. A file without them is of AdamW."""


class UnusableStateError(Exception):
    """The file is not a state of this training."""


@dataclass
class TrainingState:
    """The trained parameters by name, their optimizers, and the losses of all steps so far."""

    parameters: dict[str, torch.nn.Parameter]
    training: Training
    optimizers: list[torch.optim.Optimizer]
    average: MovingAverage | None = None
    losses: list[float] = field(default_factory=list)

    @classmethod
    def fresh(cls, parameters: dict[str, torch.nn.Parameter], training: Training) -> Self:
        """The state before the first step."""
        decay = training.ema_decay
        average = None if decay is None else MovingAverage(parameters, decay)
        return cls(parameters, training, build_optimizers(parameters, training), average)

    @property
    def step(self) -> int:
        """Number of optimizer steps done."""
        return len(self.losses)

    def take_step(self) -> None:
        """Let the optimizers use the gradients, and drop these."""
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the parameters have the values to publish: their moving average, if the job asks for one."""
        if self.average is None:
            yield
            return
        with self.average.applied():
            yield

    def learning_rates(self, steps: int) -> list[Any]:
        """The learning rate schedule of each optimizer, from the current step on."""
        return learning_rate_schedules(self.optimizers, self.training, self.step, steps)

    def write(self, path: Path) -> None:
        """Save the state to a file. Raises `OSError`."""
        optimizer = read_state(self.optimizers, self.parameters)
        tensors = {_LOSSES: torch.tensor(self.losses, dtype=torch.float64), **optimizer.tensors}
        tensors |= {f"{_WEIGHT}.{name}": parameter.detach() for name, parameter in self.parameters.items()}
        if self.average is not None:
            tensors |= {f"{_AVERAGE}.{name}": tensor for name, tensor in self.average.tensors.items()}
        metadata = {_OPTIMIZER: self.training.optimizer.value, _NUMBERS: json.dumps(optimizer.numbers, sort_keys=True)}
        # Cloned where bitsandbytes shares a tensor between parameters, which safetensors refuses.
        separate = {name: tensor.cpu().contiguous() for name, tensor in _unshared(tensors).items()}
        try:
            safetensors.torch.save_file(separate, path, metadata)
        except SafetensorError as error:
            raise OSError(first_line(error)) from error

    def read(self, path: Path, steps: int) -> None:
        """Restore a state saved by `write`. Raises `UnusableStateError` and then changes nothing."""
        tensors, metadata = _load(path)
        if metadata.get(_OPTIMIZER, Optimizer.ADAMW.value) != self.training.optimizer.value:
            raise UnusableStateError(f"it is of the optimizer {metadata.get(_OPTIMIZER, Optimizer.ADAMW.value)}")
        losses = tensors.pop(_LOSSES).tolist() if _LOSSES in tensors else []
        if not 0 < len(losses) <= steps:
            raise UnusableStateError(f"it is of step {len(losses)}, but the training has {steps} steps")
        weights, averages = _take(tensors, _WEIGHT), _take(tensors, _AVERAGE)
        self._require_shapes(weights, averages, tensors)
        saved = OptimizerState(tensors, _numbers(metadata))
        for name, parameter in self.parameters.items():
            parameter.data.copy_(weights[name])
        restore_state(self.optimizers, self.parameters, saved)
        if self.average is not None:
            self.average.restore(averages, len(losses))
        self.losses = losses

    def _require_shapes(
        self,
        weights: dict[str, torch.Tensor],
        averages: dict[str, torch.Tensor],
        optimizer: dict[str, torch.Tensor],
    ) -> None:
        """Each parameter has its weight, its average if there are averages, and all of its optimizer state or none."""
        shapes = {name: parameter.shape for name, parameter in self.parameters.items()}
        if _shapes(weights) != shapes or _shapes(averages) != (shapes if self.average is not None else {}):
            raise UnusableStateError("its tensors do not match the trained parameters")
        expected = expected_tensors(self.parameters, self.training)
        present = {_parameter_of(key) for key in optimizer}
        expected = {key: each for key, each in expected.items() if _parameter_of(key) in present}
        if {key: (tensor.shape, tensor.dtype) for key, tensor in optimizer.items()} != expected:
            raise UnusableStateError("its tensors do not match the optimizer's state")


def _load(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return safetensors.torch.load_file(path), file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise UnusableStateError(first_line(error)) from error


def _numbers(metadata: dict[str, str]) -> dict[str, dict[str, float | int]]:
    try:
        numbers = json.loads(metadata.get(_NUMBERS, "{}"))
    except ValueError as error:
        raise UnusableStateError(first_line(error)) from error
    return numbers if isinstance(numbers, dict) else {}


def _take(tensors: dict[str, torch.Tensor], part: str) -> dict[str, torch.Tensor]:
    """Remove the tensors of a part; returns them by parameter."""
    keys = [key for key in tensors if key.startswith(f"{part}.")]
    return {_parameter_of(key): tensors.pop(key) for key in keys}


def _parameter_of(key: str) -> str:
    return key.partition(".")[2]


def _shapes(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def _unshared(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    seen: set[int] = set()
    separate = {}
    for name, tensor in tensors.items():
        separate[name] = tensor.clone() if tensor.data_ptr() in seen else tensor
        seen.add(tensor.data_ptr())
    return separate
