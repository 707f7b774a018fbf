"""Limits of the photos of a dataset, and the file names that count as photos.

The gateway enforces them on upload, the runner again: a job from YAML does not pass the gateway. Both read photos with
`reading`. This module has names and numbers only and imports no image library.
"""

MIN_PHOTOS = 1
MAX_PHOTOS = 100
MAX_PHOTO_BYTES = 25 * 1024**2
MAX_DATASET_BYTES = 500 * 1024**2
MIN_SIDE_PX = 64
MAX_SIDE_PX = 16_000
MAX_PIXELS = 100_000_000
"""More is refused before it is decoded. Measured at the bound, to check a photo: 50 to 340 MiB (JPEG), 130 to 440
(PNG), 710 (HEIC), 920 to 1,150 (AVIF), 1,590 (WebP). The limit for one photo is a setting: see `decoder`."""

MAX_SCANS = 100
"""Scans of one JPEG. The decoder processes the whole image for each; encoders write 1, or about 10 if progressive."""

FORMATS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "AVIF": "avif", "HEIF": "heic"}
"""Pillow's name of each accepted format, and the extension under which it is stored."""

FORMAT_NAMES = "JPEG, PNG, WebP, AVIF or HEIC"
"""The same, for messages."""

_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".avif", ".heic", ".heif", ".hif"},
)
_HIDDEN = frozenset({"", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
"""Files that Windows and macOS create in folders; the empty name is the folder marker of S3 browsers."""

MAX_NAME_CHARACTERS = 80


def short_name(name: str) -> str:
    """A photo's name for messages: its last path segment, printable and shortened. The input is untrusted."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(each if each.isprintable() else "?" for each in last)[:MAX_NAME_CHARACTERS]


def is_hidden(name: str) -> bool:
    """Whether a file is hidden from its owner, such as `._IMG_1.JPG` or `Thumbs.db`."""
    return name.startswith(".") or name.lower() in _HIDDEN


def is_photo_name(name: str) -> bool:
    """Whether a file's extension is a photo's. The content decides its format."""
    return not is_hidden(name) and any(name.lower().endswith(suffix) for suffix in _SUFFIXES)
