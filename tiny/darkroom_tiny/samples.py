"""Five photos of a subject that the small base model has never seen: a green star with a white outline."""

from dataclasses import replace
from pathlib import Path

from darkroom_tiny.draw import SUBJECT, Scene, Size, draw

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
