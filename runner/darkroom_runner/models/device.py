"""The device that models run on, and the precision of inference and training on it.

On CUDA, inference is in float16, as the published SDXL weights are, and training in bfloat16, whose range needs no
loss scaling. GPUs without native bfloat16 (T4, V100) train in float32: emulated bfloat16 is slow, and float16 would
need loss scaling. On the CPU everything is float32, and results are bit-identical between runs.
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
    """A torch device with its precision for inference and for training."""

    torch_device: torch.device
    inference_dtype: torch.dtype
    training_dtype: torch.dtype

    @property
    def is_cuda(self) -> bool:
        return self.torch_device.type == "cuda"

    @property
    def capability(self) -> tuple[int, int]:
        """The card's compute capability; (0, 0) on the CPU."""
        return torch.cuda.get_device_capability(self.torch_device) if self.is_cuda else (0, 0)

    def autocast(self) -> AbstractContextManager[Any]:
        """On CUDA, mixed precision with the float32 adapters; no-op on the CPU."""
        if not self.is_cuda:
            return nullcontext()
        return torch.autocast("cuda", dtype=self.training_dtype)


def find_device() -> Device:
    if not torch.cuda.is_available():
        log.info("device: CPU, %d threads", torch.get_num_threads())
        return Device(torch.device("cpu"), torch.float32, torch.float32)
    log.info("device: %s", torch.cuda.get_device_name())
    # By default torch also counts emulation, which is several times slower than float32.
    training = torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return Device(torch.device("cuda"), torch.float16, training)


def generator(seed: int, *purpose: int) -> torch.Generator:
    """A random generator on the CPU, so that a seed gives the same numbers on every device.

    Generators of one seed with different `purpose`, such as step numbers, are independent. Training can therefore
    resume at any step without a saved generator state.
    """
    if purpose:
        digest = hashlib.blake2b(repr((seed, *purpose)).encode(), digest_size=8).digest()
        seed = int.from_bytes(digest) >> 1
    return torch.Generator("cpu").manual_seed(seed)


def release(pipeline: Any) -> None:
    """Free a pipeline's weights, even if it is still referenced. It can't be used afterwards."""
    for component in pipeline.components.values():
        if isinstance(component, torch.nn.Module):
            component.to("meta")
    free_memory()


def free_memory() -> None:
    """Return unused memory to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
