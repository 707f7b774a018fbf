"""Where the models run. The same code serves CUDA and CPU; what differs is decided here, once.

On CUDA weights are in half precision: float16 to draw (as the published SDXL weights are), bfloat16 to train, whose
range needs no loss scaling. Cards without bfloat16 of their own (T4, V100) train in float32: they would only emulate
it, and float16 would need loss scaling. On the CPU everything is float32 and bit-identical from run to run.
"""

import gc
import hashlib
import logging
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Device:
    """A device and the precision of each kind of work on it."""

    place: torch.device
    drawing_dtype: torch.dtype
    training_dtype: torch.dtype

    @property
    def is_cuda(self) -> bool:
        return self.place.type == "cuda"

    def autocast(self) -> AbstractContextManager[Any]:
        """Half-precision arithmetic around float32 adapters; nothing on the CPU."""
        if not self.is_cuda:
            return nullcontext()
        return torch.autocast("cuda", dtype=self.training_dtype)


def find_device() -> Device:
    if not torch.cuda.is_available():
        log.info("device: CPU, %d threads", torch.get_num_threads())
        return Device(torch.device("cpu"), torch.float32, torch.float32)
    log.info("device: %s", torch.cuda.get_device_name())
    # By default torch counts cards that emulate it, several times slower than float32.
    training = torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return Device(torch.device("cuda"), torch.float16, training)


def generator(seed: int, *purpose: int) -> torch.Generator:
    """Random numbers are always drawn on the CPU: a seed then means the same on every device.

    Numbers for one `purpose`, such as a step, have nothing to do with those for another: whoever knows seed and step
    can go on from there without the generator's state.
    """
    if purpose:
        digest = hashlib.blake2b(repr((seed, *purpose)).encode(), digest_size=8).digest()
        seed = int.from_bytes(digest) >> 1
    return torch.Generator("cpu").manual_seed(seed)


def release(pipeline: Any) -> None:
    """Give a pipeline's memory back, whoever still holds it. It can't be used any more."""
    for component in pipeline.components.values():
        if isinstance(component, torch.nn.Module):
            component.to("meta")
    free_memory()


def free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
