"""How well the small models do what they are asked: the figures of their cards, and of the quality tests."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from darkroom_tiny.captions import prompt_of
from darkroom_tiny.draw import Scene
from darkroom_tiny.judge import matches

BATCH = 10


def draw_prompts(
    pipeline: Any, prompts: Sequence[str], *, steps: int, guidance_scale: float, seed: int
) -> list[Image.Image]:
    """One 128 px picture for each prompt."""
    pictures: list[Image.Image] = []
    for first in range(0, len(prompts), BATCH):
        part = list(prompts[first : first + BATCH])
        generators = [torch.Generator().manual_seed(seed + first + number) for number in range(len(part))]
        pictures += pipeline(
            part,
            width=128,
            height=128,
            num_inference_steps=steps,
            guidance_scale=guidance_scale,
            generator=generators,
        ).images
    return pictures


def fidelity(pictures: Sequence[Image.Image], scenes: Sequence[Scene]) -> float:
    """The part of the pictures that show their scene's shape, colour and background."""
    return sum(matches(picture, scene) for picture, scene in zip(pictures, scenes, strict=True)) / len(scenes)


def prompt_fidelity(pipeline: Any, scenes: Sequence[Scene], steps: int = 25, seed: int = 0) -> float:
    prompts = [prompt_of(scene) for scene in scenes]
    return fidelity(draw_prompts(pipeline, prompts, steps=steps, guidance_scale=5.0, seed=seed), scenes)
