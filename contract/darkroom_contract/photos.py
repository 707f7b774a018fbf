"""Bounds on the photos of a dataset, and what counts as one.

The gateway enforces them on upload, the runner once more: a job from YAML never passes the gateway. Both read photos by
`photo_reading`. This module knows names and numbers only and imports no image library.
"""

MIN_PHOTOS = 1
MAX_PHOTOS = 100
MAX_PHOTO_BYTES = 25 * 1024**2
MAX_DATASET_BYTES = 500 * 1024**2
MIN_SIDE_PX = 64
MAX_SIDE_PX = 16_000
MAX_PIXELS = 100_000_000
"""More is refused before it is decoded. Measured at the bound, to check a photo: 50 to 340 MiB (JPEG), 130 to 440
(PNG), 710 (HEIC), 920 to 1,150 (AVIF), 1,590 (WebP). What one may really take is a setting: see `photo_decoder`."""

MAX_SCANS = 100
"""Of one JPEG. Its decoder goes through the whole picture for each; encoders write 1, or about 10 when progressive."""

FORMATS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "AVIF": "avif", "HEIF": "heic"}
"""Pillow's name of each accepted format, and the extension under which it is stored."""

FORMAT_NAMES = "JPEG, PNG, WebP, AVIF or HEIC"
"""The same, for messages."""

_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".avif", ".heic", ".heif", ".hif"},
)
_INVISIBLE = frozenset({"", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
"""What Windows and macOS write into folders; the empty name is the marker that S3 browsers make for a folder."""

MAX_NAME_CHARACTERS = 80


def short_name(name: str) -> str:
    """What messages call a photo: the last part of its name, printable, and not too long. It may be anyone's text."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(each if each.isprintable() else "?" for each in last)[:MAX_NAME_CHARACTERS]


def is_invisible(name: str) -> bool:
    """Whether a file of a folder is one that its owner never sees, such as `._IMG_1.JPG` or `Thumbs.db`."""
    return name.startswith(".") or name.lower() in _INVISIBLE


def is_photo_name(name: str) -> bool:
    """Whether a file's extension promises a photo. Which format it really has, its content says."""
    return not is_invisible(name) and any(name.lower().endswith(suffix) for suffix in _SUFFIXES)
