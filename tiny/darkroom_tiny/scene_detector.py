"""Detects shape, colour and background in the pixels of a picture, to measure prompt fidelity.

Plain image processing without a network, so that scores do not depend on a model. Tests check it on drawn pictures,
whose content is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from darkroom_tiny.draw import BACKGROUNDS, COLOURS, SHAPES, SIDE_PX, SUBJECT, Rgb, Scene, Size, silhouette

Pixels = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

TEMPLATE_SIDE = 48
SPECK_PX = 5
"""Side of the squares in which the majority of pixels decides: smaller specks are ignored."""
TURNS_DEGREES = (-12.0, -6.0, 0.0, 6.0, 12.0)
MIN_DISTANCE = 16.0
"""Lower limit of the threshold in RGB distance: below it, nothing is foreground."""
MAX_DISTANCE = 60.0
"""Upper limit: above it, everything is foreground, even beside something with more contrast."""
INNER_PX, RIM_PX = 19, 7
"""Distances from the shape's edge where fill and rim colours are read. Odd filter sizes, for 128 px."""


@dataclass(frozen=True)
class Reading:
    """The detected content of a picture. `fit`: intersection over union with the best shape, 0 to 1."""

    shape: str
    colour: str
    background: str
    fit: float
    rim: str
    """Colour of the shape's edge; without an outline, that of the fill."""


def read(picture: Image.Image) -> Reading | None:
    """None when there is no foreground."""
    pixels = np.asarray(picture.convert("RGB").resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX), dtype=np.float32)
    background = np.median(_frame(pixels), axis=0)
    mask = _foreground(pixels, background)
    if mask.sum() < 64:
        return None
    shape, fit = _best_shape(mask)
    inner, rim = _inside(mask, INNER_PX), _inside(mask, 3) & ~_inside(mask, RIM_PX)
    filling = inner if inner.sum() >= 12 else _inside(mask, 3)
    return Reading(
        shape=shape,
        colour=_nearest(pixels[filling if filling.any() else mask], COLOURS),
        background=_nearest(background[None], BACKGROUNDS),
        fit=fit,
        rim=_nearest(pixels[rim if rim.any() else mask], COLOURS),
    )


def matches(picture: Image.Image, scene: Scene) -> bool:
    """Whether shape, colour and background are those of the scene."""
    seen = read(picture)
    return seen is not None and (seen.shape, seen.colour, seen.background) == scene.combination


def shows_subject(picture: Image.Image) -> bool:
    """Whether it shows the subject of the sample photos: a green star with a white outline, on any background."""
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


def _foreground(pixels: Pixels, background: Pixels) -> Mask:
    """Pixels that differ from the background, without specks."""
    distance = np.linalg.norm(pixels - background, axis=-1)
    threshold = float(np.clip(0.3 * np.percentile(distance, 97), MIN_DISTANCE, MAX_DISTANCE))
    majority: Mask = square_sums(distance > threshold, SPECK_PX) > SPECK_PX**2 // 2
    return majority


def _inside(mask: Mask, width_px: int) -> Mask:
    eroded: Mask = square_sums(mask, width_px) == width_px**2
    return eroded


def square_sums(mask: Mask, side_px: int) -> npt.NDArray[np.int64]:
    """How many pixels of the mask are in the square around each pixel. `side_px` is odd; the mask's edge is repeated
    beyond it, as Pillow's filters do, which take a hundred times as long for large squares."""
    padded = np.pad(mask.astype(np.int64), side_px // 2, mode="edge")
    corner = np.pad(padded.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    rows = corner[side_px:] - corner[:-side_px]
    sums: npt.NDArray[np.int64] = rows[:, side_px:] - rows[:, :-side_px]
    return sums


def _nearest(samples: Pixels, table: Mapping[str, Rgb]) -> str:
    colour = np.median(samples, axis=0)
    return min(table, key=lambda name: float(np.linalg.norm(colour - np.array(table[name], dtype=np.float32))))


def _best_shape(mask: Mask) -> tuple[str, float]:
    shapes, templates = _templates()
    seen = _framed(mask).ravel().astype(np.float32)
    # Products of zeros and ones: the sums are exact.
    both = templates @ seen
    either = templates.sum(axis=1) + seen.sum() - both
    fits = both.astype(np.float64) / np.maximum(either, 1.0)
    fit, shape = max(zip(fits.tolist(), shapes, strict=True))
    return shape, fit


@cache
def _templates() -> tuple[list[str], Pixels]:
    """The names of shapes, and each shape as a row of pixels, 0 or 1."""
    scenes = [Scene(shape, "red", "black", Size.LARGE, turn_degrees=turn) for shape in SHAPES for turn in TURNS_DEGREES]
    masks = [_framed(np.asarray(silhouette(scene, SIDE_PX)) > 127) for scene in scenes]
    return [scene.shape for scene in scenes], np.stack([mask.ravel() for mask in masks]).astype(np.float32)


def _framed(mask: Mask) -> Mask:
    """The mask cropped to its bounds, centred in a square, and resized."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    cut = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    side = max(cut.shape)
    square = np.zeros((side, side), dtype=bool)
    top, left = (side - cut.shape[0]) // 2, (side - cut.shape[1]) // 2
    square[top : top + cut.shape[0], left : left + cut.shape[1]] = cut
    image = Image.fromarray((square * 255).astype(np.uint8))
    return np.asarray(image.resize((TEMPLATE_SIDE, TEMPLATE_SIDE), Image.Resampling.BOX)) > 127
