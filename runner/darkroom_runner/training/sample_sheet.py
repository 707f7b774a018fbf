"""One sheet of all sample images of a training: a row for each validation prompt, a column for each step.

Called by `samples`. Only Pillow; the images come as files.
"""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

MAX_COLUMNS = 12
MAX_CELL_PX = 256
_MARGIN_PX = 8
_HEADER_PX = 28
_LABEL_PX = 200
_FONT_PX = 14
_BACKGROUND, _EMPTY, _TEXT = "white", "#dddddd", "black"

Cells = Mapping[tuple[int, int], Path]
"""The image files by prompt number (from 0) and step."""


def shown_steps(steps: Sequence[int], most: int = MAX_COLUMNS) -> list[int]:
    """At most `most` of the steps, evenly spread, with the first and the last."""
    ordered = sorted(set(steps))
    if len(ordered) <= most:
        return ordered
    return [ordered[round(index * (len(ordered) - 1) / (most - 1))] for index in range(most)]


def shrink(image: Image.Image) -> Image.Image:
    """A copy that fits into one cell."""
    small = image.convert("RGB")
    small.thumbnail((MAX_CELL_PX, MAX_CELL_PX), Image.Resampling.LANCZOS)
    return small


def draw_sheet(prompts: Sequence[str], steps: Sequence[int], cells: Cells) -> Image.Image:
    """The labelled sheet. A cell without an image is grey."""
    cell_px = _cell_px(cells)
    pitch = cell_px + _MARGIN_PX
    size = (_LABEL_PX + len(steps) * pitch + _MARGIN_PX, _HEADER_PX + len(prompts) * pitch + _MARGIN_PX)
    sheet = Image.new("RGB", size, _BACKGROUND)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_PX)
    for row, prompt in enumerate(prompts):
        top = _HEADER_PX + row * pitch
        pen.multiline_text((_MARGIN_PX, top), _wrapped(prompt, cell_px), _TEXT, font)
        for column, step in enumerate(steps):
            left = _LABEL_PX + column * pitch
            if row == 0:
                pen.text((left, _MARGIN_PX), f"step {step}", _TEXT, font)
            pen.rectangle((left, top, left + cell_px - 1, top + cell_px - 1), _EMPTY)
            if (path := cells.get((row, step))) is not None:
                with Image.open(path) as image:
                    sheet.paste(shrink(image), (left, top))
    return sheet


def _cell_px(cells: Cells) -> int:
    """Side of the cells: that of the largest image, once shrunk."""
    sides = [MAX_CELL_PX // 2]
    for path in cells.values():
        with Image.open(path) as image:
            sides.append(min(max(image.size), MAX_CELL_PX))
    return max(sides)


def _wrapped(prompt: str, height_px: int) -> str:
    """The prompt in the lines that fit beside a row."""
    characters, lines = int((_LABEL_PX - 2 * _MARGIN_PX) / (_FONT_PX * 0.55)), height_px // (_FONT_PX + 6)
    return "\n".join(textwrap.wrap(prompt, characters, max_lines=max(lines, 1), placeholder=" …"))
