"""Speed and fidelity of the U-Net cache, side by side with plain diffusers and the DeepCache package.

    python benchmarks/unet_cache.py                     the small model of this repository, any machine
    python benchmarks/unet_cache.py --curve             the same, and the speed against the package at equal PSNR
    python benchmarks/unet_cache.py --few-steps         the default cache at 4 and 8 steps
    python benchmarks/unet_cache.py --video             the small SVD model: clips of eight frames
    python benchmarks/unet_cache.py --real-size         SDXL's U-Net at its real size, random weights: CUDA, or 14 GB

The reference is the plain diffusers pipeline: same model, sampler, prompts, seeds and batch. Every round runs the
reference and each variant once, in an order that changes every round, so that a machine that slows down affects all of
them equally; the ratio is the median of the rounds' ratios. Random weights are enough to measure speed; they generate
noise, so `--real-size` shows no fidelity, and it stops before the VAE, which no cache changes.

Equal PSNR: `--curve` measures our cache at 3 to 12 full passes. The time that it needs for the PSNR of the package at
an interval is interpolated between the two nearest of them.
"""

import argparse
import logging
import math
import statistics
import sys
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from machine import describe_machine
from PIL import Image
from unet_cache_models import Setting, open_setting

from darkroom_contract.specs.cache import Cache, CachePolicy, CacheProfile
from darkroom_runner.run.library_logging import configure_library_logging
from darkroom_runner.sampling.vae_format import set_vae_format
from darkroom_runner.unet_cache.context import unet_cache
from darkroom_runner.unet_cache.policies import Profile

REFERENCE = "none"
PACKAGE_INTERVALS = (2, 3, 5, 8)
FULL_PASSES = (3, 4, 5, 6, 7, 8, 9, 10, 12)
"""Of the curve."""


@dataclass(frozen=True)
class Variant:
    """A cache under measurement."""

    cache: Cache
    profile: Profile | None = None
    """Bounds of the adaptive policy other than those of the cache's profile."""


def variants(options: argparse.Namespace, steps: int) -> dict[str, Variant]:
    """What is compared, by the name in the table."""
    found = {REFERENCE: Variant(Cache(profile=CacheProfile.DISABLED))}
    package = (3,) if options.few_steps or options.real_size else PACKAGE_INTERVALS
    found |= {
        package_name(interval): Variant(Cache(policy=CachePolicy.DEEPCACHE, interval=interval)) for interval in package
    }
    profiles = (CacheProfile.QUALITY, CacheProfile.BALANCED, CacheProfile.FAST)
    own = (CacheProfile.BALANCED,) if options.real_size else profiles
    found |= {f"{profile}": Variant(Cache(profile=profile)) for profile in own}
    if options.curve:
        fixed = {number: Profile(number / steps**0.5, float("inf"), 0.0) for number in FULL_PASSES if number < steps}
        return found | {own_name(number): Variant(Cache(), profile) for number, profile in fixed.items()}
    return found if options.video or options.real_size else found | {"FirstBlock": Variant(FIRST_BLOCK)}


FIRST_BLOCK = Cache(policy=CachePolicy.FIRST_BLOCK)


def package_name(interval: int) -> str:
    return f"package {interval}"


def own_name(full_passes: int) -> str:
    return f"{full_passes} full"


@dataclass
class Series:
    """Times, passes and images of one variant."""

    seconds: list[float] = field(default_factory=list)
    images: list[Image.Image] = field(default_factory=list)
    full_passes: int = 0


def main() -> None:
    options = read_options()
    logging.disable(logging.INFO)
    configure_library_logging()
    print(f"machine: {describe_machine()}")
    print(f"command: python benchmarks/unet_cache.py {' '.join(sys.argv[1:])}")
    for steps in [4, 8] if options.few_steps else [options.steps]:
        setting = open_setting(options, steps)
        compared = variants(options, setting.steps)
        print(f"reference: diffusers' plain pipeline, {setting.description}, {setting.steps} steps\n")
        for batch in options.batches:
            series = measure(setting, batch, compared, options.rounds)
            report(batch, series, setting)
            if options.curve:
                report_curve(series)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real-size", action="store_true")
    parser.add_argument("--few-steps", action="store_true")
    parser.add_argument("--curve", action="store_true")
    parser.add_argument("--video", action="store_true")
    parser.add_argument("--models", type=Path, default=Path(__file__).parents[1] / "models", help="the model root")
    parser.add_argument("--batches", type=int, nargs="+", help="images generated at once")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, help="denoising steps; 25, and 12 or 50 with --real-size")
    options = parser.parse_args()
    options.batches = options.batches or ([1] if options.real_size or options.video or options.curve else [1, 10])
    return options


def measure(setting: Setting, batch: int, compared: dict[str, Variant], rounds: int) -> dict[str, Series]:
    """Generate every round's images with each variant in turn, after a single step of each to warm up."""
    series = {name: Series() for name in compared}
    for variant in compared.values():
        generate(setting, range(batch), variant, steps=1)
    for turn in range(rounds):
        order = list(series)
        numbers = range(turn * batch, (turn + 1) * batch)
        for name in order[turn % len(order) :] + order[: turn % len(order)]:
            set_vae_format(setting.pipeline, is_fast=is_own(compared[name].cache))
            started = time.perf_counter()
            images, full_passes = generate(setting, numbers, compared[name], setting.steps)
            series[name].seconds.append(time.perf_counter() - started)
            series[name].full_passes, series[name].images = full_passes, series[name].images + images
    return series


def is_own(cache: Cache) -> bool:
    """Whether the cache is ours: diffusers and the package run with the VAE as diffusers loads it."""
    return cache.enabled and cache.effective_policy is not CachePolicy.DEEPCACHE


def generate(setting: Setting, numbers: range, variant: Variant, steps: int) -> tuple[list[Image.Image], int]:
    """The images of a round, and the number of full passes."""
    cache = variant.cache
    with unet_cache(setting.pipeline, cache, steps, profile=variant.profile) as passes:
        images = setting.draw(numbers, steps)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return images, passes.full if is_own(cache) else math.ceil(steps / cache.effective_interval)


def report(batch: int, series: dict[str, Series], setting: Setting) -> None:
    """Print the table of a batch size."""
    reference = series[REFERENCE]
    print(f"batches of {batch}, {len(reference.seconds)} rounds")
    print(f"{'cache':>10} {'full':>5} {'seconds':>8} {'speed':>7} {'fidelity':>9} {'PSNR dB':>8}")
    for name, each in series.items():
        ratio = statistics.median(a / b for a, b in zip(reference.seconds, each.seconds, strict=True))
        quality = "-" if each is reference or setting.matches is None else f"{mean_psnr(each, reference):.1f}"
        print(
            f"{name:>10} {each.full_passes:>5} {statistics.median(each.seconds) / batch:>8.3f} {ratio:>6.2f}× "
            f"{fidelity(each, setting):>9} {quality:>8}"
        )
    print()


def report_curve(series: dict[str, Series]) -> None:
    """Print our speed against the package at each of its intervals, at the package's PSNR."""
    reference = series[REFERENCE]
    own = [series[own_name(number)] for number in FULL_PASSES if own_name(number) in series]
    curve = sorted((mean_psnr(each, reference), each.seconds) for each in own)
    for interval in PACKAGE_INTERVALS:
        package = series[package_name(interval)]
        target = mean_psnr(package, reference)
        seconds = [
            interpolate(target, [(quality, times[turn]) for quality, times in curve])
            for turn in range(len(package.seconds))
        ]
        ratio = statistics.median(a / b for a, b in zip(package.seconds, seconds, strict=True))
        print(f"at {target:.1f} dB, the package's interval {interval}: {ratio:.2f}×")
    print()


def interpolate(target: float, curve: list[tuple[float, float]]) -> float:
    """The seconds of a PSNR on the line between its neighbours in `curve`, of (PSNR, seconds) in ascending order.

    Below the first point, the first point's: fewer full passes than that are not possible. Raises `ValueError` above
    the last.
    """
    if target <= curve[0][0]:
        return curve[0][1]
    for (below, fast), (above, slow) in pairwise(curve):
        if target <= above:
            return fast + (slow - fast) * (target - below) / (above - below)
    raise ValueError(f"no variant reaches {target:.1f} dB: measure with more full passes")


def fidelity(series: Series, setting: Setting) -> str:
    """The share of images that show their prompt."""
    matches = setting.matches
    if matches is None:
        return "-"
    return f"{statistics.mean(matches(number, image) for number, image in enumerate(series.images)):.0%}"


def mean_psnr(series: Series, reference: Series) -> float:
    """Compared with the images generated without a cache, in dB."""
    return statistics.mean(psnr(one, other) for one, other in zip(reference.images, series.images, strict=True))


def psnr(one: Image.Image, other: Image.Image) -> float:
    difference = np.asarray(one, dtype=np.float64) - np.asarray(other, dtype=np.float64)
    return float(10 * np.log10(255.0**2 / max(float((difference**2).mean()), 1e-6)))


if __name__ == "__main__":
    main()
