"""DeepCache (arXiv 2312.00858) as a context manager: reuse the U-Net's deep features between denoising steps.

`pictures`, `video` and the benchmark use it, one context for each generation. The DeepCache package leaves its marks
on a pipeline and can't be enabled twice; here a fresh helper serves each generation, and whatever happens, the U-Net
leaves as it came.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from DeepCache import DeepCacheSDHelper

from darkroom_runner.errors import InvalidRunError

_ABSENT = object()

_lock = threading.Lock()
_in_use: set[int] = set()
"""Identities of the U-Nets that are inside a context. Each stays alive while it is: its pipeline holds it."""


class CacheInUseError(RuntimeError):
    """A U-Net entered DeepCache twice. Its features would be cached from two generations at once."""


@contextmanager
def deepcache(pipeline: Any, interval: int, branch: int = 0) -> Iterator[None]:
    """Run the whole U-Net at every `interval`-th step only; between them, the layers outside `branch`.

    One generation only: the next needs a context of its own. Interval 1 changes nothing, to the bit.
    Raises `InvalidRunError` for a branch that the model lacks and `CacheInUseError` when entered twice.
    """
    unet = pipeline.unet
    layers = skip_branches(unet)
    if branch >= len(layers):
        raise InvalidRunError(
            f"cache.branch is {branch}, but this base model has the branches 0 to {len(layers) - 1}. Choose one."
        )
    if interval <= 1:
        yield
        return
    with _claimed(unet), _restored(unet):
        helper = _Helper(pipe=pipeline)
        helper.use(interval, *layers[branch])
        helper.enable()
        yield


def skip_branches(unet: Any) -> list[tuple[int, int]]:
    """(block, layer) of each skip connection, from the outermost to the deepest; a branch is an index into it."""
    return [(block, layer) for block, up in enumerate(reversed(unet.up_blocks)) for layer in range(len(up.resnets))]


@contextmanager
def _claimed(unet: torch.nn.Module) -> Iterator[None]:
    with _lock:
        if id(unet) in _in_use:
            raise CacheInUseError("this U-Net is already inside a deepcache() context: one generation, one context")
        _in_use.add(id(unet))
    try:
        yield
    finally:
        with _lock:
            _in_use.discard(id(unet))


@contextmanager
def _restored(unet: torch.nn.Module) -> Iterator[None]:
    """The helper puts a `forward` on instances; put back what each had of its own before, mostly nothing."""
    before = {module: module.__dict__.get("forward", _ABSENT) for module in unet.modules()}
    try:
        yield
    finally:
        for module, forward in before.items():
            if forward is _ABSENT:
                module.__dict__.pop("forward", None)
            else:
                module.__dict__["forward"] = forward


class _Helper(DeepCacheSDHelper):
    """The package's helper, counting steps by itself.

    The original looks the timestep up in the scheduler's list: it waits for the device at every step, and with Heun,
    whose timesteps come in pairs, an even interval would never run the whole U-Net again.
    """

    def use(self, interval: int, block: int, layer: int) -> None:
        """As `set_params`, whose numbering of branches holds for three layers a block only."""
        self.params = {
            "cache_interval": interval,
            "cache_layer_id": layer,
            "cache_block_id": block,
            "skip_mode": "uniform",
        }

    def wrap_unet_forward(self) -> None:
        forward = self.pipe.unet.forward
        passes_per_step = self.pipe.scheduler.order
        self.function_dict["unet_forward"] = forward
        self.start_timestep = 0
        passes = 0

        def wrapped_forward(*args: Any, **kwargs: Any) -> Any:
            nonlocal passes
            self.cur_timestep = passes // passes_per_step
            passes += 1
            return forward(*args, **kwargs)

        self.pipe.unet.forward = wrapped_forward
