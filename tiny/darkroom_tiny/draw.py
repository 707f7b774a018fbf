"""Draws the training pictures of the small models, from values that have names.

A picture shows one flat shape on a plain background. Each property that a prompt can name is a value in a table here;
the tokenizer's vocabulary, the captions and the scene detector use these tables. Deterministic: a picture is a function
of its `Scene` and side.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from PIL import Image, ImageDraw

SIDE_PX = 128
_SUPERSAMPLING = 4
OUTLINE_PARTS = 14
"""An outline's width is the picture's side divided by this: more than one VAE cell of 8 px, or colours are lost."""

Rgb = tuple[int, int, int]

COLOURS: dict[str, Rgb] = {
    "red": (220, 30, 40),
    "orange": (245, 140, 20),
    "yellow": (245, 220, 40),
    "green": (40, 170, 60),
    "cyan": (40, 205, 215),
    "blue": (40, 70, 220),
    "purple": (130, 40, 170),
    "pink": (245, 130, 190),
    "brown": (125, 65, 25),
    "white": (245, 245, 245),
}

BACKGROUNDS: dict[str, Rgb] = {
    "black": (15, 15, 15),
    "gray": (128, 128, 128),
    "navy": (20, 25, 90),
    "teal": (0, 105, 110),
    "maroon": (85, 8, 28),
    "olive": (120, 125, 35),
    "sky": (165, 210, 250),
    "sand": (225, 200, 150),
    "mint": (175, 235, 195),
}

SHAPES = ("circle", "square", "triangle", "star", "heart", "diamond", "cross", "ring")


class Size(StrEnum):
    """Size of the shape relative to the picture."""

    SMALL = "small"
    LARGE = "large"

    @property
    def radius(self) -> float:
        """Radius of the shape as a fraction of the picture's side."""
        return {Size.SMALL: 0.2, Size.LARGE: 0.34}[self]


class Style(StrEnum):
    """How the shape is filled."""

    PLAIN = "plain"
    STRIPED = "striped"
    OUTLINED = "outlined"


@dataclass(frozen=True)
class Scene:
    """The content of a picture."""

    shape: str
    colour: str
    background: str
    size: Size = Size.LARGE
    style: Style = Style.PLAIN
    centre: tuple[float, float] = (0.5, 0.5)
    turn_degrees: float = 0.0
    outline: str = "black"

    @property
    def combination(self) -> tuple[str, str, str]:
        return (self.shape, self.colour, self.background)


def polygon(shape: str) -> list[tuple[float, float]]:
    """The outline of a shape in the unit circle, y downwards. The hole of a ring is drawn separately."""
    if shape in ("circle", "ring"):
        return [(math.cos(a), math.sin(a)) for a in _angles(64)]
    if shape == "square":
        return [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)]
    if shape == "triangle":
        return [(0.0, -0.95), (0.95, 0.75), (-0.95, 0.75)]
    if shape == "diamond":
        return [(0.0, -1.0), (0.62, 0.0), (0.0, 1.0), (-0.62, 0.0)]
    if shape == "cross":
        return _cross(0.3, 0.95)
    if shape == "star":
        return _star(5, 0.42)
    if shape == "heart":
        return _heart()
    raise ValueError(f"unknown shape {shape!r}; known are {', '.join(SHAPES)}")


def _angles(count: int) -> list[float]:
    return [2 * math.pi * i / count for i in range(count)]


def _cross(w: float, r: float) -> list[tuple[float, float]]:
    quarter = [(w, -r), (w, -w), (r, -w)]
    return [p for k in range(4) for p in (_rotate(point, 90.0 * k) for point in quarter)]


def _star(points: int, inner: float) -> list[tuple[float, float]]:
    radii = [1.0, inner] * points
    return [(r * math.sin(a), -r * math.cos(a)) for r, a in zip(radii, _angles(2 * points), strict=True)]


def _heart() -> list[tuple[float, float]]:
    """The usual parametric heart, scaled into the unit circle."""
    curve = []
    for t in _angles(64):
        x = 16 * math.sin(t) ** 3
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        curve.append((x / 17.0, -(y + 2.5) / 17.0))
    return curve


def _rotate(point: tuple[float, float], degrees: float) -> tuple[float, float]:
    a = math.radians(degrees)
    return (point[0] * math.cos(a) - point[1] * math.sin(a), point[0] * math.sin(a) + point[1] * math.cos(a))


def draw(scene: Scene, side_px: int = SIDE_PX) -> Image.Image:
    """The picture of a scene: RGB, `side_px` square, antialiased."""
    side = side_px * _SUPERSAMPLING
    image = Image.new("RGB", (side, side), BACKGROUNDS.get(scene.background) or COLOURS[scene.background])
    mask = _mask(scene, side, scene.size.radius)
    image.paste(_fill(scene, side), mask=mask)
    if scene.style is Style.OUTLINED:
        _paste_outline(image, scene, side)
    return image.resize((side_px, side_px), Image.Resampling.BOX)


def silhouette(scene: Scene, side_px: int = SIDE_PX) -> Image.Image:
    """Mask of the shape, 255 inside: mode L, `side_px` square."""
    side = side_px * _SUPERSAMPLING
    return _mask(scene, side, scene.size.radius).resize((side_px, side_px), Image.Resampling.BOX)


def _mask(scene: Scene, side: int, radius: float) -> Image.Image:
    """Mask of the shape: 255 inside."""
    mask = Image.new("L", (side, side), 0)
    canvas = ImageDraw.Draw(mask)
    canvas.polygon(_placed(scene, side, radius), fill=255)
    if scene.shape == "ring":
        canvas.polygon(_placed(scene, side, 0.52 * radius), fill=0)
    return mask


def _placed(scene: Scene, side: int, radius: float) -> list[tuple[float, float]]:
    turned = (_rotate(point, scene.turn_degrees) for point in polygon(scene.shape))
    return [((scene.centre[0] + radius * x) * side, (scene.centre[1] + radius * y) * side) for x, y in turned]


def _fill(scene: Scene, side: int) -> Image.Image:
    colour = COLOURS[scene.colour]
    image = Image.new("RGB", (side, side), colour)
    if scene.style is Style.STRIPED:
        light = tuple((255 + c) // 2 if sum(colour) < 600 else c // 2 for c in colour)
        canvas = ImageDraw.Draw(image)
        width = side // 16
        for x in range(0, side, 2 * width):
            canvas.rectangle((x, 0, x + width - 1, side), fill=light)
    return image


def _paste_outline(image: Image.Image, scene: Scene, side: int) -> None:
    colour = (10, 10, 10) if scene.outline == "black" else COLOURS[scene.outline]
    canvas = ImageDraw.Draw(image)
    rings = [1.0, 0.52] if scene.shape == "ring" else [1.0]
    for part in rings:
        points = _placed(scene, side, part * scene.size.radius)
        canvas.line([*points, *points[:2]], fill=colour, width=side // OUTLINE_PARTS, joint="curve")


@dataclass(frozen=True)
class Variety:
    """Variation of the pictures that their captions do not describe."""

    centre: float
    """Standard deviation of the shape's position, as a fraction of the picture's side."""
    turn_degrees: float
    """Largest rotation of the shape."""
    styles: tuple[float, float, float]
    """Probabilities of plain, striped and outlined."""


HIGH_VARIETY = Variety(centre=0.06, turn_degrees=12.0, styles=(0.4, 0.2, 0.4))
LOW_VARIETY = Variety(centre=0.015, turn_degrees=3.0, styles=(0.65, 0.1, 0.25))
"""A small U-Net learns shapes much sooner when their position and rotation vary little."""


def random_scene(rng: random.Random, variety: Variety = HIGH_VARIETY) -> Scene:
    """A random scene, including combinations that training excludes."""
    size = rng.choice(list(Size))
    margin = size.radius + 0.06
    return Scene(
        shape=rng.choice(SHAPES),
        colour=rng.choice(list(COLOURS)),
        background=rng.choice(list(BACKGROUNDS)),
        size=size,
        style=rng.choices(list(Style), weights=variety.styles)[0],
        centre=(_near_centre(rng, margin, variety.centre), _near_centre(rng, margin, variety.centre)),
        turn_degrees=rng.uniform(-variety.turn_degrees, variety.turn_degrees),
        outline=rng.choice(("black", "white")),
    )


def _near_centre(rng: random.Random, margin: float, deviation: float) -> float:
    return min(max(rng.gauss(0.5, deviation), margin), 1 - margin)


def held_out() -> frozenset[tuple[str, str, str]]:
    """The forty combinations of shape, colour and background that are excluded from training."""
    rng = random.Random(20261124)
    everything = [(s, c, b) for s in SHAPES for c in COLOURS for b in BACKGROUNDS]
    return frozenset(rng.sample(everything, 40))


SUBJECT = Scene(shape="star", colour="green", background="sand", style=Style.OUTLINED, outline="white")


def is_subject_like(scene: Scene) -> bool:
    """Whether a scene shows a green star with an outline, which only a LoRA may learn."""
    return (scene.shape, scene.colour, scene.style) == ("star", "green", Style.OUTLINED)


def training_scenes(seed: int, variety: Variety = HIGH_VARIETY) -> Iterator[Scene]:
    """An infinite sequence of scenes, without held-out combinations and without the subject."""
    rng = random.Random(seed)
    hidden = held_out()
    while True:
        scene = random_scene(rng, variety)
        if scene.combination not in hidden and not is_subject_like(scene):
            yield scene


def is_low_contrast(scene: Scene) -> bool:
    """Whether the shape's colour is similar to the background's, such as brown on olive: learned last."""
    return math.dist(COLOURS[scene.colour], BACKGROUNDS[scene.background]) < 130


def half_low_contrast_scenes(seed: int) -> Iterator[Scene]:
    """Training scenes of low variety; every other one has low contrast."""
    wanted = True
    for scene in training_scenes(seed, LOW_VARIETY):
        if is_low_contrast(scene) is wanted:
            yield scene
            wanted = not wanted


def scenes(*, count: int, seed: int, held_out_only: bool = False) -> list[Scene]:
    """Scenes for scoring: plain and upright, each of another combination, on request only held-out ones."""
    rng = random.Random(seed)
    hidden = held_out()
    pool = sorted(hidden) if held_out_only else [(s, c, b) for s in SHAPES for c in COLOURS for b in BACKGROUNDS]
    return [Scene(*combination) for combination in rng.sample(pool, count)]
