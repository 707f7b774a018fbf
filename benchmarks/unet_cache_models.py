"""Models and prompts of `unet_cache.py`: the small SDXL and SVD of this repository, and SDXL at its real size."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from darkroom_contract.specs.video import Video
from darkroom_runner.models.device import find_device, generator
from darkroom_runner.models.pretrained import SDXL, SVD, find_pretrained, load_pipeline

GUIDANCE_SCALE = 2.0
"""The small model's best value; above 1 it does not affect speed."""

Matcher = Callable[[int, Image.Image], bool]


@dataclass(frozen=True)
class Setting:
    """What is measured."""

    pipeline: Any
    description: str
    steps: int
    draw: Callable[[range, int], list[Image.Image]]
    """Generates the images or clips of these numbers in one batch, with a number of steps. Their numbers are
    the seeds."""
    matches: Matcher | None
    """Whether an image shows its prompt, by its number in the whole run; None for random weights."""


def open_setting(options: argparse.Namespace, steps: int | None) -> Setting:
    if options.real_size:
        return open_real_size(steps)
    return open_video(options, steps or 25) if options.video else open_small(options, steps or 25)


def open_small(options: argparse.Namespace, steps: int) -> Setting:
    """The trained small model, its prompts, and a check of shape, colour and background in the pixels."""
    from darkroom_tiny import captions, draw, scene_detector

    pipeline = load("darkroom-tiny-sdxl", SDXL, options.models)
    side_px = pipeline.unet.config.sample_size * pipeline.vae_scale_factor
    scenes = draw.scenes(count=100, seed=1)

    def generate(numbers: range, steps: int) -> list[Image.Image]:
        images: list[Image.Image] = pipeline(
            [captions.prompt_of(scenes[number % len(scenes)]) for number in numbers],
            width=side_px,
            height=side_px,
            num_inference_steps=steps,
            guidance_scale=GUIDANCE_SCALE,
            generator=[generator(number) for number in numbers],
        ).images
        return images

    def shows(number: int, image: Image.Image) -> bool:
        return bool(scene_detector.matches(image, scenes[number % len(scenes)]))

    return Setting(pipeline, f"{side_px}×{side_px}", steps, generate, shows)


def open_video(options: argparse.Namespace, steps: int) -> Setting:
    """The small SVD model: clips of drawn pictures, and whether every frame shows the picture's shape and colours."""
    from darkroom_tiny import draw, scene_detector

    pipeline = load("darkroom-tiny-svd", SVD, options.models)
    scenes = draw.scenes(count=100, seed=5)
    video = Video()
    frames: int = pipeline.unet.config.num_frames

    def generate(numbers: range, steps: int) -> list[Image.Image]:
        [number] = numbers
        picture = draw.draw(scenes[number % len(scenes)])
        clip: list[Image.Image] = pipeline(
            picture,
            width=picture.width,
            height=picture.height,
            num_frames=frames,
            num_inference_steps=steps,
            min_guidance_scale=video.min_guidance_scale,
            max_guidance_scale=video.max_guidance_scale,
            generator=generator(number),
        ).frames[0]
        return clip

    def shows(number: int, image: Image.Image) -> bool:
        scene, found = scenes[number // frames % len(scenes)], scene_detector.read(image)
        return found is not None and (found.shape, found.colour) == (scene.shape, scene.colour)

    return Setting(pipeline, f"clips of {frames} frames", steps, generate, shows)


def load(model: str, kind: Any, root: Path) -> Any:
    device = find_device()
    pipeline = load_pipeline(find_pretrained(model, kind, root), device.inference_dtype, device.torch_device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def open_real_size(steps: int | None) -> Setting:
    """SDXL-base's architecture with random weights: in half precision at 1024 px on CUDA, in float32 at 512 px
    elsewhere."""
    from sdxl_base import build_pipeline

    cuda = torch.cuda.is_available()
    pipeline = build_pipeline(torch.device("cuda" if cuda else "cpu"))
    if not cuda:
        pipeline = pipeline.to(torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    side_px, count = (1024, 50) if cuda else (512, 12)

    def generate(numbers: range, steps: int) -> list[Image.Image]:
        pipeline(
            ["a photo of a dog on the moon"] * len(numbers),
            width=side_px,
            height=side_px,
            num_inference_steps=steps,
            generator=[generator(number) for number in numbers],
            output_type="latent",
        )
        return []

    return Setting(pipeline, f"the U-Net at {side_px}×{side_px}", steps or count, generate, matches=None)
