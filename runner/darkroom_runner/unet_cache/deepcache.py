"""DeepCache (arXiv 2312.00858) as a context manager: reuse the U-Net's deep features between denoising steps.

One context per generation. The DeepCache package modifies the pipeline permanently and can't be enabled twice; here
each generation has a fresh helper, and the U-Net is always restored.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from DeepCache import DeepCacheSDHelper

from darkroom_runner.errors import InvalidRunError
from darkroom_runner.unet_cache.cached_unet import CacheReport

_ABSENT = object()

_lock = threading.Lock()
_in_use: set[int] = set()
"""`id`s of the U-Nets inside a context. Their pipelines keep them alive, so that no `id` is reused."""


class CacheInUseError(RuntimeError):
    """A U-Net was used in two DeepCache contexts at once, which would mix the features of two generations."""


@contextmanager
def deepcache(pipeline: Any, interval: int, branch: int = 0, report: CacheReport | None = None) -> Iterator[None]:
    """Run the whole U-Net only at every `interval`-th step; between them, only the layers outside `branch`.

    A context is valid for one generation. Interval 1 turns caching off (bit-identical output). The passes are added to
    `report`. Raises `InvalidRunError` if the model has no such branch and `CacheInUseError` if the U-Net is in use
    already.
    """
    unet = pipeline.unet
    layers = skip_branches(unet)
    if branch >= len(layers):
        raise InvalidRunError(
            f"cache.branch is {branch}, but this base model has branches 0 to {len(layers) - 1}. Choose one of them."
        )
    if interval <= 1:
        yield
        return
    with claimed(unet), _restored(unet):
        helper = _Helper(pipe=pipeline)
        helper.report = CacheReport() if report is None else report
        helper.use(interval, *layers[branch])
        helper.enable()
        yield


def skip_branches(unet: Any) -> list[tuple[int, int]]:
    """(block, layer) of each skip connection, from outermost to deepest; a branch is an index into this list."""
    return [(block, layer) for block, up in enumerate(reversed(unet.up_blocks)) for layer in range(len(up.resnets))]


@contextmanager
def claimed(unet: torch.nn.Module) -> Iterator[None]:
    with _lock:
        if id(unet) in _in_use:
            raise CacheInUseError("this U-Net is already inside a cache context: use one context per generation")
        _in_use.add(id(unet))
    try:
        yield
    finally:
        with _lock:
            _in_use.discard(id(unet))


@contextmanager
def _restored(unet: torch.nn.Module) -> Iterator[None]:
    """The helper sets `forward` on module instances; restore what each instance had before, usually nothing."""
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
    """The package's helper, but counting U-Net calls instead of searching the timestep in the scheduler's list.

    That search synchronises with the device at every step; and with Heun, whose timesteps come in pairs, an even
    interval would never run the whole U-Net again.
    """

    report: CacheReport

    def use(self, interval: int, block: int, layer: int) -> None:
        """Replaces `set_params`, whose numbering of branches assumes three layers per block."""
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
            if self.cur_timestep % self.params["cache_interval"]:
                self.report.shallow += 1
            else:
                self.report.full += 1
            return forward(*args, **kwargs)

        self.pipe.unet.forward = wrapped_forward
