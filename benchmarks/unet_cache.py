"""Speed and fidelity of the U-Net cache, side by side with plain diffusers and the DeepCache package.

    python benchmarks/unet_cache.py                     the small model of this repository, any machine
    python benchmarks/unet_cache.py --few-steps         the default cache at 4 and 8 steps
    python benchmarks/unet_cache.py --real-size         SDXL at its real size with random weights: CUDA, or 14 GB

The reference is the plain diffusers pipeline: same model, sampler, prompts, seeds and batch. Every round runs the
reference and each variant once, in an order that changes every round, so that a machine that slows down affects all of
them equally; the ratio is the median of the rounds' ratios. Random weights are enough to measure speed; they generate
noise, so `--real-size` shows no fidelity.
"""

import argparse
import logging
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe_machine
from PIL import Image

from darkroom_contract.specs.cache import Cache, CachePolicy, CacheProfile
from darkroom_runner.models.device import find_device, generator
from darkroom_runner.models.pretrained import SDXL, find_pretrained, load_pipeline
from darkroom_runner.run.library_logging import configure_library_logging
from darkroom_runner.unet_cache.context import unet_cache

REFERENCE = "none"
PACKAGE_INTERVALS = (2, 3, 5, 8)
GUIDANCE_SCALE = 2.0
"""The small model's best value; above 1 it does not affect speed."""

Matcher = Callable[[str, Image.Image], bool]


def variants(few_steps: bool) -> dict[str, Cache]:
    """The caches that are compared, by the name in the table."""
    found = {REFERENCE: Cache(profile=CacheProfile.DISABLED)}
    own = (CacheProfile.QUALITY, CacheProfile.BALANCED, CacheProfile.FAST)
    package = (3,) if few_steps else PACKAGE_INTERVALS
    found |= {f"package {each}": Cache(policy=CachePolicy.DEEPCACHE, interval=each) for each in package}
    found |= {f"{profile}": Cache(profile=profile) for profile in own}
    return found | {"FirstBlock": Cache(policy=CachePolicy.FIRST_BLOCK)}


@dataclass(frozen=True)
class Setting:
    """What is measured."""

    pipeline: Any
    prompts: list[str]
    side_px: int
    steps: int
    matches: Matcher | None
    """Whether an image shows its prompt; None for random weights."""


@dataclass
class Series:
    """Times and images of one variant."""

    seconds: list[float] = field(default_factory=list)
    images: dict[int, Image.Image] = field(default_factory=dict)


def main() -> None:
    options = read_options()
    logging.disable(logging.INFO)
    configure_library_logging()
    caches = variants(options.few_steps)
    print(f"machine: {describe_machine()}")
    print(f"command: python benchmarks/unet_cache.py {' '.join(sys.argv[1:])}")
    for steps in [4, 8] if options.few_steps else [options.steps]:
        setting = open_real_size(steps) if options.real_size else open_small(options, steps)
        print(f"reference: diffusers' plain pipeline, {setting.side_px}×{setting.side_px}, {setting.steps} steps\n")
        for batch in options.batches:
            report(batch, measure(setting, batch, caches, options.rounds), setting)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real-size", action="store_true")
    parser.add_argument("--few-steps", action="store_true")
    parser.add_argument("--models", type=Path, default=Path(__file__).parents[1] / "models", help="the model root")
    parser.add_argument("--model", default="darkroom-tiny-sdxl", help="its folder")
    parser.add_argument("--batches", type=int, nargs="+", help="images generated at once")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, help="denoising steps; 25, and 12 or 50 with --real-size")
    options = parser.parse_args()
    options.batches = options.batches or ([1] if options.real_size else [1, 10])
    return options


def open_small(options: argparse.Namespace, steps: int | None) -> Setting:
    """The trained small model, its prompts, and a check of shape, colour and background in the pixels."""
    from darkroom_tiny import captions, draw, scene_detector

    device = find_device()
    pipeline = load_pipeline(
        find_pretrained(options.model, SDXL, options.models), device.inference_dtype, device.torch_device
    )
    side_px = pipeline.unet.config.sample_size * pipeline.vae_scale_factor
    wanted = {captions.prompt_of(scene): scene for scene in draw.scenes(count=100, seed=1)}

    def shows(prompt: str, image: Image.Image) -> bool:
        return bool(scene_detector.matches(image, wanted[prompt]))

    return Setting(pipeline, list(wanted), side_px, steps or 25, shows)


def open_real_size(steps: int | None) -> Setting:
    """SDXL-base's architecture with random weights: in half precision at 1024 px on CUDA, in float32 at 512 px
    elsewhere."""
    from sdxl_base import build_pipeline

    cuda = torch.cuda.is_available()
    pipeline = build_pipeline(torch.device("cuda" if cuda else "cpu"))
    if not cuda:
        pipeline = pipeline.to(torch.float32)
    prompts = ["a photo of a dog on the moon", "a castle in the evening", "a bowl of fruit, oil on canvas"]
    return Setting(pipeline, prompts, 1024 if cuda else 512, steps or (50 if cuda else 12), matches=None)


def measure(setting: Setting, batch: int, caches: dict[str, Cache], rounds: int) -> dict[str, Series]:
    """Generate every round's images with each variant in turn; a first, unmeasured round warms up."""
    series = {name: Series() for name in caches}
    for cache in caches.values():
        generate(setting, batch, cache, 0)
    for turn in range(rounds):
        order = list(series)
        for name in order[turn % len(order) :] + order[: turn % len(order)]:
            started = time.perf_counter()
            images = generate(setting, batch, caches[name], turn)
            series[name].seconds.append(time.perf_counter() - started)
            series[name].images |= dict(enumerate(images, start=turn * batch))
    return series


def generate(setting: Setting, batch: int, cache: Cache, turn: int) -> list[Image.Image]:
    """Generate the images of a round in one batch. The seeds are the images' numbers."""
    numbers = range(turn * batch, (turn + 1) * batch)
    with unet_cache(setting.pipeline, cache, setting.steps):
        images: list[Image.Image] = setting.pipeline(
            [prompt_of(setting, number) for number in numbers],
            width=setting.side_px,
            height=setting.side_px,
            num_inference_steps=setting.steps,
            guidance_scale=GUIDANCE_SCALE,
            generator=[generator(number) for number in numbers],
        ).images
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return images


def prompt_of(setting: Setting, number: int) -> str:
    return setting.prompts[number % len(setting.prompts)]


def report(batch: int, series: dict[str, Series], setting: Setting) -> None:
    """Print the table of a batch size."""
    reference = series[REFERENCE]
    print(f"batches of {batch}, {len(reference.images)} images")
    print(f"{'cache':>10} {'s/image':>10} {'speed':>7} {'fidelity':>9} {'PSNR dB':>8}")
    for name, each in series.items():
        ratio = statistics.median(a / b for a, b in zip(reference.seconds, each.seconds, strict=True))
        seconds = statistics.median(each.seconds) / batch
        print(
            f"{name:>10} {seconds:>10.3f} {ratio:>6.2f}× "
            f"{fidelity(each, setting):>9} {distance(each, reference, setting):>8}"
        )
    print()


def fidelity(series: Series, setting: Setting) -> str:
    """The share of images that show their prompt."""
    matches = setting.matches
    if matches is None:
        return "-"
    right = [matches(prompt_of(setting, number), image) for number, image in series.images.items()]
    return f"{sum(right) / len(right):.0%}"


def distance(series: Series, reference: Series, setting: Setting) -> str:
    """Mean PSNR compared with the images generated without a cache."""
    if series is reference or setting.matches is None:
        return "-"
    ratios = [psnr(reference.images[number], image) for number, image in series.images.items()]
    return f"{statistics.mean(ratios):.1f}"


def psnr(one: Image.Image, other: Image.Image) -> float:
    difference = np.asarray(one, dtype=np.float64) - np.asarray(other, dtype=np.float64)
    return float(10 * np.log10(255.0**2 / max(float((difference**2).mean()), 1e-6)))


if __name__ == "__main__":
    main()
