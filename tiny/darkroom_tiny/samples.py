"""The files that examples work on.

Five photos of a subject that the small base model has never seen, a green star with a white outline; and pictures to
start from, which the base model can change."""

from dataclasses import replace
from pathlib import Path

from PIL import Image

from darkroom_tiny.draw import SIDE_PX, SUBJECT, Scene, Size, draw

PHOTOS = (
    replace(SUBJECT, background="sand"),
    replace(SUBJECT, background="gray", centre=(0.47, 0.52), turn_degrees=8.0),
    replace(SUBJECT, background="maroon", centre=(0.54, 0.48), turn_degrees=-6.0),
    replace(SUBJECT, background="sky", size=Size.SMALL, centre=(0.45, 0.5)),
    replace(SUBJECT, background="black", centre=(0.5, 0.55), turn_degrees=-10.0),
)
UNSEEN_BACKGROUNDS = ("navy", "teal", "olive", "mint")


def write_photos(target: Path, photos: tuple[Scene, ...] = PHOTOS) -> list[Path]:
    target.mkdir(parents=True, exist_ok=True)
    paths = [target / f"photo-{number}.png" for number in range(1, len(photos) + 1)]
    for path, scene in zip(paths, photos, strict=True):
        draw(scene).save(path)
    return paths


def start_pictures() -> dict[str, Image.Image]:
    """By file name in examples/pictures: a circle; two shapes side by side, and a mask of the second one."""
    circle, square = Scene("circle", "yellow", "navy"), Scene("square", "green", "navy")
    two = Image.new("RGB", (2 * SIDE_PX, SIDE_PX))
    for number, scene in enumerate((circle, square)):
        two.paste(draw(scene), (number * SIDE_PX, 0))
    mask = Image.new("L", two.size, "black")
    mask.paste("white", (SIDE_PX, 0, *two.size))
    return {
        "circle.png": draw(Scene("circle", "red", "navy", centre=(0.42, 0.55))),
        "two-shapes.png": two,
        "two-shapes-mask.png": mask,
    }


def write_start_pictures(target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name, picture in start_pictures().items():
        picture.save(target / name, optimize=True)
