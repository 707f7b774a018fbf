"""The optimizers of a training, and their state as tensors and numbers that a checkpoint can hold.

The U-Net and the text encoders have an optimizer each: they may have different learning rates, and Prodigy estimates a
learning rate for each. Libraries are imported when they are used: bitsandbytes alone takes a second.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.optimization import get_scheduler

from darkroom_contract.specs.training import Training
from darkroom_contract.specs.training_choices import Optimizer
from darkroom_runner.run.optional_libraries import reveal
from darkroom_runner.training.flat_adamw import FlatAdamW

Parameters = Mapping[str, torch.nn.Parameter]

_WEIGHT_DECAY = 1e-4
"""The default of diffusers' LoRA training script."""

_UNET = "unet."
"""Prefix of the U-Net's parameters; the others are the text encoders'."""

_SETTINGS = frozenset({"params", "lr", "initial_lr"})
"""Entries of a parameter group that the job and its schedule determine."""

Numbers = dict[str, float | int]


@dataclass(frozen=True)
class OptimizerState:
    """All that an optimizer remembers between steps: of each parameter, and of the parameter group as a whole."""

    tensors: dict[str, torch.Tensor]
    """By `<entry>.<parameter>`, such as `exp_avg.unet.conv.lora_A`."""
    numbers: dict[str, Numbers]
    """Entries that are Python numbers: by parameter, and by `group <number>`. JSON keeps floats exactly."""


def build_optimizers(parameters: Parameters, training: Training) -> list[torch.optim.Optimizer]:
    """One optimizer for the U-Net's parameters and one for the text encoders', if these are trained."""
    unet = [each for name, each in parameters.items() if name.startswith(_UNET)]
    text = [each for name, each in parameters.items() if not name.startswith(_UNET)]
    rates = (training.peak_learning_rate, _text_encoder_rate(training))
    return [_build(part, training, rate) for part, rate in zip((unet, text), rates, strict=True) if part]


def learning_rate_schedules(
    optimizers: list[torch.optim.Optimizer], training: Training, step: int, steps: int
) -> list[Any]:
    """diffusers' schedule of each optimizer, from `step` on. Its `constant` would ignore the warm-up."""
    name = training.learning_rate_schedule.value
    if name == "constant" and training.warmup_steps > 0:
        name = "constant_with_warmup"
    schedules = []
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        schedules.append(
            get_scheduler(
                name,
                optimizer,
                num_warmup_steps=training.warmup_steps,
                num_training_steps=steps,
                last_epoch=step - 1,
            )
        )
    return schedules


def learning_rate(optimizer: torch.optim.Optimizer) -> float:
    """The learning rate of the next step. Prodigy multiplies that of the job by its own estimate."""
    group = optimizer.param_groups[0]
    return float(group["lr"] * group.get("d", 1.0))


def read_state(optimizers: list[torch.optim.Optimizer], parameters: Parameters) -> OptimizerState:
    """The optimizers' state. Tensors are not copied. Parameters without gradients, as in the last layer of a text
    encoder, have none."""
    tensors: dict[str, torch.Tensor] = {}
    numbers: dict[str, Numbers] = {}
    for index, optimizer in enumerate(optimizers):
        numbers[f"group {index}"] = {
            entry: value for entry, value in optimizer.param_groups[0].items() if _is_number(entry, value)
        }
    for name, parameter in parameters.items():
        for entry, value in _state_of(optimizers, parameter).items():
            if isinstance(value, torch.Tensor):
                tensors[f"{entry}.{name}"] = value
            elif _is_number(entry, value):
                numbers.setdefault(name, {})[entry] = value
    return OptimizerState(tensors, {name: each for name, each in numbers.items() if each})


def restore_state(optimizers: list[torch.optim.Optimizer], parameters: Parameters, saved: OptimizerState) -> None:
    """Put a state back that `read_state` returned for the same parameters. Tensors move to their parameter's device."""
    for index, optimizer in enumerate(optimizers):
        optimizer.param_groups[0].update(saved.numbers.get(f"group {index}", {}))
        for parameter in optimizer.param_groups[0]["params"]:
            optimizer.state.pop(parameter, None)
    owners = {parameter: each for each in optimizers for parameter in each.param_groups[0]["params"]}
    for name, parameter in parameters.items():
        if numbers := saved.numbers.get(name):
            owners[parameter].state[parameter].update(numbers)
    for key, tensor in saved.tensors.items():
        entry, _, name = key.partition(".")
        parameter = parameters[name]
        owners[parameter].state[parameter][entry] = tensor.to(parameter.device)


def expected_tensors(parameters: Parameters, training: Training) -> dict[str, tuple[torch.Size, torch.dtype]]:
    """Shape and dtype of each tensor of the state that every parameter would have after its first gradient."""
    twins = {name: torch.nn.Parameter(each.detach().clone()) for name, each in parameters.items()}
    optimizers = build_optimizers(twins, training)
    for twin in twins.values():
        twin.grad = torch.zeros_like(twin)
    for optimizer in optimizers:
        optimizer.step()
    tensors = read_state(optimizers, twins).tensors
    return {key: (tensor.shape, tensor.dtype) for key, tensor in tensors.items()}


def _build(parameters: list[torch.nn.Parameter], training: Training, rate: float) -> torch.optim.Optimizer:
    optimizer = _create(parameters, training, rate)
    for group in optimizer.param_groups:
        group["initial_lr"] = rate
    return optimizer


def _create(parameters: list[torch.nn.Parameter], training: Training, rate: float) -> torch.optim.Optimizer:
    match training.optimizer:
        case Optimizer.ADAMW:
            if all((each.device.type, each.dtype) == ("cpu", torch.float32) for each in parameters):
                return FlatAdamW(parameters, lr=rate, weight_decay=_WEIGHT_DECAY)
            # Fused: updates hundreds of small matrices in one call.
            return torch.optim.AdamW(parameters, lr=rate, weight_decay=_WEIGHT_DECAY, fused=True)
        case Optimizer.ADAMW_8BIT:
            reveal("bitsandbytes")
            from bitsandbytes.optim import AdamW8bit

            return AdamW8bit(parameters, lr=rate, weight_decay=_WEIGHT_DECAY)
        case Optimizer.ADAFACTOR:
            from transformers.optimization import Adafactor

            # Scaled by the parameters themselves, as in torch's Adafactor, a `lora_B` of zeros would hardly move.
            return Adafactor(
                parameters, lr=rate, weight_decay=_WEIGHT_DECAY, scale_parameter=False, relative_step=False
            )
        case Optimizer.PRODIGY:
            return _prodigy(parameters, training, rate)


def _prodigy(parameters: list[torch.nn.Parameter], training: Training, rate: float) -> torch.optim.Optimizer:
    """Without Adam's bias correction, with which the estimate stays at its start for about 60 steps."""
    from prodigyopt import Prodigy

    # prodigyopt prints a line about weight decay, and refuses a learning rate of 0.
    optimizer = Prodigy(parameters, lr=rate or 1.0, safeguard_warmup=training.warmup_steps > 0)
    for group in optimizer.param_groups:
        group["weight_decay"], group["lr"] = _WEIGHT_DECAY, rate
    return optimizer


def _text_encoder_rate(training: Training) -> float:
    own = training.text_encoder_learning_rate
    return training.peak_learning_rate if own is None else own


def _state_of(optimizers: list[torch.optim.Optimizer], parameter: torch.nn.Parameter) -> dict[str, Any]:
    # `state` creates an entry for a parameter that is looked up.
    return next((dict(each.state[parameter]) for each in optimizers if parameter in each.state), {})


def _is_number(entry: str, value: object) -> bool:
    return entry not in _SETTINGS and isinstance(value, int | float)
