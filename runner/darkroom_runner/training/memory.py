"""Decides what a training saves memory with: gradient checkpointing, idle models off the device, quantization.

The session asks before it loads the base model (`choose_quantization`) and before the first step (`plan_memory`).
"""

from dataclasses import dataclass
from typing import Any

from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.specs.training import Training
from darkroom_contract.specs.training_choices import Memory, Quantization
from darkroom_runner.errors import InvalidRunError
from darkroom_runner.models.device import Device
from darkroom_runner.models.free_memory import free_bytes
from darkroom_runner.training.memory_estimate import step_bytes

RAN_OUT = (
    "Gradient checkpointing was turned on when a step ran out of memory; a step takes about a third longer with it. To "
    "avoid it, lower training.batchSize or training.resolution."
)
"""For `RemarkReason.MEMORY_SAVED`."""

_GIB = 2**30
_FP8_CAPABILITY = (8, 9)
"""Of Ada and Hopper: the first with FP8 in their tensor cores."""


@dataclass(frozen=True)
class MemoryPlan:
    """What a training does to fit into the device's memory."""

    gradient_checkpointing: bool
    """Compute activations twice instead of keeping them: about a third slower."""
    idle_models_off_device: bool
    """The VAE, and text encoders that the steps don't need, leave the device during the steps."""
    remark: str | None = None
    """What was picked and why, for `RemarkReason.MEMORY_SAVED`. None if nothing was picked that costs anything."""


def choose_quantization(device: Device, training: Training) -> Quantization:
    """The precision in which to load the base model's U-Net; never `AUTO`.

    Raises `InvalidRunError` for a precision that the device can't compute in.
    """
    chosen = training.quantization
    if chosen is Quantization.AUTO:
        low = training.memory is Memory.LOW and device.is_cuda
        return Quantization.NF4 if low else Quantization.DISABLED
    if chosen is not Quantization.DISABLED and not device.is_cuda:
        raise InvalidRunError(
            f"training.quantization {chosen.value} needs a CUDA device, and this runner has none. Omit it, or set it "
            "to Disabled."
        )
    if chosen is Quantization.FP8 and device.capability < _FP8_CAPABILITY:
        found = ".".join(str(part) for part in device.capability)
        raise InvalidRunError(
            f"training.quantization FP8 needs a card of compute capability 8.9 or above; this one has {found}. Set it "
            "to NF4."
        )
    return chosen


def plan_memory(device: Device, spec: TrainJobSpec, unet: Any, latent_shapes: list[tuple[int, int]]) -> MemoryPlan:
    """The plan of a training, before its first step. `latent_shapes`: heights and widths of its latents."""
    training = spec.training
    samples = training.batch_size * (2 if _has_class_images(spec) else 1)
    needed = max(step_bytes(unet, shape, samples, device) for shape in latent_shapes)
    free = free_bytes(device)
    low, short = training.memory is Memory.LOW, needed > free
    # On the CPU, idle models are read again for images: without images, dropping them costs nothing.
    off_device = device.is_cuda or low or short or not training.prompts_to_validate
    return MemoryPlan(low or short, off_device, _remark(device, training, needed, free) if low or short else None)


def _remark(device: Device, training: Training, needed: int, free: int) -> str:
    if training.memory is Memory.LOW:
        nf4 = choose_quantization(device, training) is Quantization.NF4
        base = ", and the base model in NF4, which changes results a little" if nf4 else ""
        return (
            f"training.memory Low: gradient checkpointing, with which a step takes about a third longer{base}. Set it "
            "to Auto on a machine with more memory."
        )
    return (
        f"Gradient checkpointing is on, with which a step takes about a third longer: without it a step needs about "
        f"{needed / _GIB:.1f} GiB, and {free / _GIB:.1f} GiB are free. To avoid it, lower training.batchSize or "
        "training.resolution."
    )


def _has_class_images(spec: TrainJobSpec) -> bool:
    priors = [spec.training.prior_preservation, *(each.prior_preservation for each in spec.concepts)]
    return any(prior is not None for prior in priors)
