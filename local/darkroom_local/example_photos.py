"""The sample photos and pictures in `examples`: used by the demo, by the examples, and in the output of `up`."""

from pathlib import Path

from darkroom_contract.storage.keys import dataset_prefix, images_prefix

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FOLDER = EXAMPLES / "photos"
PREFIX = dataset_prefix("examples", "star")
"""Key prefix of the photos in the bucket of a local cluster."""
PICTURES_PREFIX = images_prefix("examples")
"""Key prefix of the pictures that generations of the examples start from."""


def example_photos() -> list[Path]:
    """Five photos of a subject that the base model has never seen; an empty list outside a source checkout."""
    return sorted(FOLDER.glob("*.png"))


def example_objects() -> dict[str, Path]:
    """The sample files of a new bucket, by key."""
    photos = {PREFIX + photo.name: photo for photo in example_photos()}
    pictures = sorted((EXAMPLES / "pictures").glob("*.png"))
    return photos | {PICTURES_PREFIX + picture.name: picture for picture in pictures}
