"""Prompt fidelity of the small models: the scores in their model cards and of the quality tests."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from darkroom_tiny.captions import prompt_of
from darkroom_tiny.draw import SIDE_PX, Scene, held_out, scenes
from darkroom_tiny.scene_detector import matches

BATCH = 10
STEPS = 25
GUIDANCE_SCALE = 2.0


def benchmark_scenes() -> list[Scene]:
    """A hundred scenes: first the forty held-out combinations, then sixty others."""
    hidden = held_out()
    seen = [scene for scene in scenes(count=120, seed=1) if scene.combination not in hidden]
    return [*scenes(count=len(hidden), seed=1, held_out_only=True), *seen[: 100 - len(hidden)]]


def draw_prompts(
    pipeline: Any,
    prompts: Sequence[str],
    *,
    seed: int,
    steps: int = STEPS,
    around_batch: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> list[Image.Image]:
    """A 128 px picture for each prompt, in batches of ten, each with its own seed.

    `around_batch` returns the context manager in which a batch is generated, such as a cache.
    """
    pictures: list[Image.Image] = []
    for first in range(0, len(prompts), BATCH):
        part = list(prompts[first : first + BATCH])
        generators = [torch.Generator().manual_seed(seed + first + number) for number in range(len(part))]
        with around_batch():
            pictures += pipeline(
                part,
                width=SIDE_PX,
                height=SIDE_PX,
                num_inference_steps=steps,
                guidance_scale=GUIDANCE_SCALE,
                generator=generators,
            ).images
    return pictures


def fidelity(pictures: Sequence[Image.Image], scenes: Sequence[Scene]) -> float:
    """The fraction of pictures that show their scene's shape, colour and background."""
    return sum(matches(picture, scene) for picture, scene in zip(pictures, scenes, strict=True)) / len(scenes)


@dataclass(frozen=True)
class Scores:
    """Fractions of the prompts whose picture has the right shape, colour and background."""

    all_prompts: float
    held_out: float


def measure(
    pipeline: Any, around_batch: Callable[[], AbstractContextManager[object]] = nullcontext, steps: int = STEPS
) -> Scores:
    """Generate pictures of the benchmark scenes and score them."""
    wanted = benchmark_scenes()
    prompts = [prompt_of(scene) for scene in wanted]
    pictures = draw_prompts(pipeline, prompts, seed=0, steps=steps, around_batch=around_batch)
    hidden = len(held_out())
    return Scores(fidelity(pictures, wanted), fidelity(pictures[:hidden], wanted[:hidden]))
