"""Reads shape, colour and background off the pixels of a picture: the yardstick of fidelity.

Plain image processing, no network, so that a score means the same whatever made the picture. It is held to drawn
pictures, where the truth is known, by the tests.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from darkroom_tiny.draw import BACKGROUNDS, COLOURS, SHAPES, SIDE_PX, SUBJECT, Rgb, Scene, Size, silhouette

Pixels = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

TEMPLATE_SIDE = 48
TURNS_DEGREES = (-12.0, -6.0, 0.0, 6.0, 12.0)
FAINTEST = 16.0
"""Distance in RGB below which nothing stands out from a background."""
STRONGEST = 60.0
"""Distance beyond which everything does, however much brighter something else in the picture is."""
INNER_PX, RIM_PX = 19, 7
"""How far from the shape's edge its filling is read, and how near its rim: odd, at 128 px."""


@dataclass(frozen=True)
class Reading:
    """What a picture shows. `fit` is how well the best shape covers it (intersection over union, 0 to 1)."""

    shape: str
    colour: str
    background: str
    fit: float
    rim: str
    """Colour of the shape's edge: the filling's own unless it is outlined."""


def read(picture: Image.Image) -> Reading | None:
    """None when nothing stands out from the background."""
    pixels = np.asarray(picture.convert("RGB").resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX), dtype=np.float32)
    behind = np.median(_frame(pixels), axis=0)
    mask = _stands_out(pixels, behind)
    if mask.sum() < 64:
        return None
    shape, fit = _best_shape(mask)
    inner, rim = _inside(mask, INNER_PX), _inside(mask, 3) & ~_inside(mask, RIM_PX)
    filling = inner if inner.sum() >= 12 else _inside(mask, 3)
    return Reading(
        shape=shape,
        colour=_nearest(pixels[filling if filling.any() else mask], COLOURS),
        background=_nearest(behind[None], BACKGROUNDS),
        fit=fit,
        rim=_nearest(pixels[rim if rim.any() else mask], COLOURS),
    )


def matches(picture: Image.Image, scene: Scene) -> bool:
    """Whether shape, colour and background are those of the scene."""
    seen = read(picture)
    return seen is not None and (seen.shape, seen.colour, seen.background) == scene.combination


def shows_subject(picture: Image.Image) -> bool:
    """Whether it is the subject of the sample photos: a green star with a white outline, on whatever background."""
    seen = read(picture)
    return seen is not None and (seen.shape, seen.colour, seen.rim) == (SUBJECT.shape, SUBJECT.colour, SUBJECT.outline)


def difference(first: Image.Image, second: Image.Image) -> float:
    """Mean absolute difference of two pictures of the same size, 0 to 255."""
    a, b = (np.asarray(each.convert("RGB"), dtype=np.float32) for each in (first, second))
    return float(np.abs(a - b).mean())


def _frame(pixels: Pixels, width_px: int = 5) -> Pixels:
    inside = np.ones(pixels.shape[:2], dtype=bool)
    inside[width_px:-width_px, width_px:-width_px] = False
    return pixels[inside]


def _stands_out(pixels: Pixels, behind: Pixels) -> Mask:
    """The largest things unlike the background, without specks."""
    distance = np.linalg.norm(pixels - behind, axis=-1)
    threshold = float(np.clip(0.3 * np.percentile(distance, 97), FAINTEST, STRONGEST))
    image = Image.fromarray(((distance > threshold) * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.MedianFilter(5))) > 127


def _inside(mask: Mask, width_px: int) -> Mask:
    image = Image.fromarray((mask * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.MinFilter(width_px))) > 127


def _nearest(samples: Pixels, table: Mapping[str, Rgb]) -> str:
    colour = np.median(samples, axis=0)
    return min(table, key=lambda name: float(np.linalg.norm(colour - np.array(table[name], dtype=np.float32))))


def _best_shape(mask: Mask) -> tuple[str, float]:
    seen = _framed(mask)
    fits = [(_overlap(seen, template), shape) for shape, template in _templates()]
    fit, shape = max(fits)
    return shape, fit


def _overlap(first: Mask, second: Mask) -> float:
    return float((first & second).sum() / max(1, (first | second).sum()))


@cache
def _templates() -> tuple[tuple[str, Mask], ...]:
    scenes = [Scene(shape, "red", "black", Size.LARGE, turn_degrees=turn) for shape in SHAPES for turn in TURNS_DEGREES]
    return tuple((scene.shape, _framed(np.asarray(silhouette(scene, SIDE_PX)) > 127)) for scene in scenes)


def _framed(mask: Mask) -> Mask:
    """The shape alone: cut to its bounds, centred in a square, at one size."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    cut = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    side = max(cut.shape)
    square = np.zeros((side, side), dtype=bool)
    top, left = (side - cut.shape[0]) // 2, (side - cut.shape[1]) // 2
    square[top : top + cut.shape[0], left : left + cut.shape[1]] = cut
    image = Image.fromarray((square * 255).astype(np.uint8))
    return np.asarray(image.resize((TEMPLATE_SIDE, TEMPLATE_SIDE), Image.Resampling.BOX)) > 127
