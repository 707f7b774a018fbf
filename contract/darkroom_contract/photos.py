"""Bounds on the photos of a dataset.

The gateway enforces them at the door, the runner once more: a job from YAML skips the door.
"""

MIN_PHOTOS = 1
MAX_PHOTOS = 100
MAX_PHOTO_BYTES = 25 * 1024**2
MAX_DATASET_BYTES = 500 * 1024**2
MIN_SIDE_PX = 64
MAX_SIDE_PX = 16_000
MAX_PIXELS = 100_000_000
"""A decoded picture of this many pixels takes 300 MB; more is refused before it is decoded."""

FORMATS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
"""Pillow's name of each accepted format, and the extension under which it is stored."""
