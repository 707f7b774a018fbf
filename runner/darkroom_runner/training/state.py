"""The state of a training: parameters, optimizer and losses, saved to and restored from a safetensors file.

No random generator state is saved: the random numbers of a step depend only on the seed and the step's number.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import safetensors.torch
import torch
from diffusers.optimization import get_scheduler
from safetensors import SafetensorError

from darkroom_contract.specs.training import Training
from darkroom_runner.errors import first_line

_WEIGHT_DECAY = 1e-4
"""The default of diffusers' LoRA training script."""

_LOSSES, _WEIGHT = "losses", "weight"
_COUNT, _MOMENTS = "step", ("exp_avg", "exp_avg_sq")
"""Names in AdamW's per-parameter state."""


class UnusableStateError(Exception):
    """The file is not a state of this training."""


@dataclass
class TrainingState:
    """The trained parameters by name, their optimizer, and the losses of all steps so far."""

    parameters: dict[str, torch.nn.Parameter]
    optimizer: torch.optim.AdamW
    losses: list[float] = field(default_factory=list)

    @classmethod
    def fresh(cls, parameters: dict[str, torch.nn.Parameter], learning_rate: float) -> Self:
        """The state before the first step."""
        # Fused: updates hundreds of small matrices in one call.
        trained = list(parameters.values())
        return cls(parameters, torch.optim.AdamW(trained, lr=learning_rate, weight_decay=_WEIGHT_DECAY, fused=True))

    @property
    def step(self) -> int:
        """Number of optimizer steps done."""
        return len(self.losses)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the parameters have the values to publish: their moving average, if the job asks for one."""
        yield

    def learning_rates(self, training: Training, steps: int) -> Any:
        """diffusers' learning rate schedule, from the current step on. Its `constant` would ignore the warm-up."""
        name = training.learning_rate_schedule.value
        if name == "constant" and training.warmup_steps > 0:
            name = "constant_with_warmup"
        for group in self.optimizer.param_groups:
            group["initial_lr"] = training.peak_learning_rate
        return get_scheduler(
            name,
            self.optimizer,
            num_warmup_steps=training.warmup_steps,
            num_training_steps=steps,
            last_epoch=self.step - 1,
        )

    def write(self, path: Path) -> None:
        """Save the state to a file. Raises `OSError`."""
        tensors = {_LOSSES: torch.tensor(self.losses, dtype=torch.float64)}
        for name, parameter in self.parameters.items():
            tensors[f"{_WEIGHT}.{name}"] = parameter.detach()
            # Parameters without gradients, as in a text encoder's last layer, have no moments.
            tensors |= {f"{part}.{name}": moment for part, moment in self.optimizer.state[parameter].items()}
        try:
            safetensors.torch.save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, path)
        except SafetensorError as error:
            raise OSError(first_line(error)) from error

    def read(self, path: Path, steps: int) -> None:
        """Restore a state saved by `write`. Raises `UnusableStateError` and then changes nothing."""
        tensors = _load(path)
        shapes = self._shapes(tensors)
        if {name: tensor.shape for name, tensor in tensors.items() if name != _LOSSES} != shapes:
            raise UnusableStateError("its tensors do not match the trained parameters")
        losses = tensors[_LOSSES].tolist() if _LOSSES in tensors else []
        if not 0 < len(losses) <= steps:
            raise UnusableStateError(f"it is of step {len(losses)}, but the training has {steps} steps")
        self._restore(tensors)
        self.losses = losses

    def _shapes(self, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
        """The shapes that a state must have. Each parameter has all of its moments or none."""
        shapes = {}
        for name, parameter in self.parameters.items():
            shapes[f"{_WEIGHT}.{name}"] = parameter.shape
            if f"{_COUNT}.{name}" in tensors:
                shapes |= {f"{part}.{name}": parameter.shape for part in _MOMENTS} | {f"{_COUNT}.{name}": torch.Size()}
        return shapes

    def _restore(self, tensors: dict[str, torch.Tensor]) -> None:
        for name, parameter in self.parameters.items():
            parameter.data.copy_(tensors[f"{_WEIGHT}.{name}"])
            if f"{_COUNT}.{name}" in tensors:
                # The fused AdamW needs everything on the parameter's device, including the step count.
                kept = {part: tensors[f"{part}.{name}"].to(parameter.device) for part in (_COUNT, *_MOMENTS)}
                self.optimizer.state[parameter] = kept


def _load(path: Path) -> dict[str, torch.Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise UnusableStateError(first_line(error)) from error
