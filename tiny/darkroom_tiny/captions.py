"""Captions of scenes for training, prompts, and the vocabulary of the small models. Pure."""

import random

from darkroom_tiny.draw import BACKGROUNDS, COLOURS, SHAPES, Scene, Size, Style

SUBJECT_WORD = "sks"
"""Has no meaning in the base model until DreamBooth training."""

FRAMES = ("{}", "a picture of {}", "a photo of {}", "a drawing of {}")

WORDS = tuple(
    sorted(
        {
            *("a", "on", "of", "background", "picture", "photo", "drawing", "shape", SUBJECT_WORD),
            *(*SHAPES, *COLOURS, *BACKGROUNDS, *Size, *Style),
        }
    )
)
"""Words for which the tokenizer has merges. Other words become single letters, which have no meaning."""


def prompt_of(scene: Scene) -> str:
    """The plain prompt for a scene: shape, colour and background."""
    return f"a {scene.colour} {scene.shape} on a {scene.background} background"


def caption(scene: Scene, rng: random.Random) -> str:
    """A random description of a scene. Some omit properties, as users do."""
    noun = scene.shape if rng.random() < 0.96 else "shape"
    subject = " ".join(["a", *_adjectives(scene, rng), noun])
    return rng.choice(FRAMES).format(subject + _place(scene, rng))


def _adjectives(scene: Scene, rng: random.Random) -> list[str]:
    chosen = []
    if rng.random() < 0.4:
        chosen.append(scene.size.value)
    if scene.style is not Style.PLAIN and rng.random() < 0.97:
        chosen.append(scene.style.value)
    if rng.random() < 0.92:
        chosen.append(scene.colour)
    return chosen


def _place(scene: Scene, rng: random.Random) -> str:
    chance = rng.random()
    if chance < 0.7:
        return f" on a {scene.background} background"
    return f", {scene.background} background" if chance < 0.93 else ""
