"""Exchanges a pipeline's U-Net for one with a cache during one generation, and restores it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from diffusers import UNetSpatioTemporalConditionModel

from darkroom_contract.specs.cache import Cache, CachePolicy
from darkroom_runner.errors import InvalidRunError
from darkroom_runner.unet_cache.cached_unet import CachedUnet, CacheReport
from darkroom_runner.unet_cache.deepcache import CacheInUseError, claimed, deepcache
from darkroom_runner.unet_cache.network import ClipNetwork, ImageNetwork, Network
from darkroom_runner.unet_cache.policies import (
    PROFILES,
    AdaptivePolicy,
    FirstBlockPolicy,
    IntervalPolicy,
    Policy,
    Profile,
)

__all__ = ["CacheInUseError", "CacheReport", "unet_cache"]


@contextmanager
def unet_cache(
    pipeline: Any,
    cache: Cache,
    steps: int,
    report: CacheReport | None = None,
    profile: Profile | None = None,
) -> Iterator[CacheReport]:
    """Reuse features of the pipeline's U-Net during one generation of `steps` denoising steps, as `cache` says.

    The passes are added to `report`. `profile` has bounds of the adaptive policy other than those of `cache.profile`. A
    context is valid for one call of the pipeline. If the cache is off, the pipeline is not touched. Raises
    `InvalidRunError` if the model has no such branch, and `CacheInUseError` if the U-Net is in use already.
    """
    report = CacheReport() if report is None else report
    if not cache.enabled:
        yield report
        return
    unet = pipeline.unet
    network: Network = ClipNetwork(unet) if isinstance(unet, UNetSpatioTemporalConditionModel) else ImageNetwork(unet)
    branches = network.layers.branches
    if cache.branch >= branches:
        raise InvalidRunError(
            f"cache.branch is {cache.branch}, but this base model has branches 0 to {branches - 1}. Choose one of them."
        )
    if cache.effective_policy is CachePolicy.DEEPCACHE:
        with deepcache(pipeline, cache.effective_interval, cache.branch, report):
            yield report
        return
    policy = _policy(cache, profile or PROFILES[cache.profile], network, steps)
    with claimed(unet), _replaced(pipeline, CachedUnet(pipeline, network, policy, report)):
        yield report


@contextmanager
def _replaced(pipeline: Any, replacement: CachedUnet) -> Iterator[None]:
    """Past the pipeline's own `__setattr__`, which would record the class of the replacement in its configuration."""
    unet = pipeline.unet
    object.__setattr__(pipeline, "unet", replacement)
    try:
        yield
    finally:
        object.__setattr__(pipeline, "unet", unet)


def _policy(cache: Cache, profile: Profile, network: Network, steps: int) -> Policy:
    if cache.effective_policy is CachePolicy.INTERVAL:
        return IntervalPolicy(cache.effective_interval, cache.branch)
    if cache.effective_policy is CachePolicy.FIRST_BLOCK:
        threshold = profile.first_block_threshold if cache.threshold is None else cache.threshold
        return FirstBlockPolicy(threshold, network.layers.first_block)
    return AdaptivePolicy(
        profile,
        steps,
        profile.threshold if cache.threshold is None else cache.threshold,
        guidance=cache.reuse_guidance,
        attention=cache.reuse_attention,
    )
