"""Decides what a training saves memory with: gradient checkpointing, idle models off the device, quantization.

The session asks before it loads the base model (`choose_quantization`) and before the first step (`plan_memory`).
"""

from dataclasses import dataclass

from darkroom_contract.specs.training import Training
from darkroom_contract.specs.training_choices import Memory, Quantization
from darkroom_runner.errors import InvalidRunError
from darkroom_runner.models.device import Device


@dataclass(frozen=True)
class MemoryPlan:
    """What a training does to fit into the device's memory."""

    gradient_checkpointing: bool
    """Compute activations twice instead of keeping them: about a third slower."""
    idle_models_off_device: bool
    """The VAE, and text encoders that are not trained, leave the device during the steps."""
    quantization: Quantization = Quantization.DISABLED
    """Precision of the frozen base model; never `AUTO`."""
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
    return chosen


def plan_memory(device: Device, training: Training) -> MemoryPlan:
    """The plan of a training on a device, before its first step."""
    low = training.memory is Memory.LOW
    quantization = choose_quantization(device, training)
    return MemoryPlan(device.is_cuda or low, device.is_cuda or low, quantization)
