"""Response headers of downloads, signed into links by storage/client.py. Pure.

The media types come from a job's status, and anyone with write access to statuses can choose them: a browser would run
scripts of HTML or SVG with the storage as their origin. So only the media types that runs produce are served as they
are. The type is a part of the signature, so it can't be changed in the link."""

import re

OPAQUE = "application/octet-stream"

SAFE_TYPES = frozenset({"image/png", "image/jpeg", "image/webp", "image/avif", "video/mp4", OPAQUE})
"""Types that runs produce (runner/darkroom_runner/lifecycle.py), and that browsers don't execute."""

_UNUSUAL = re.compile(r"[^A-Za-z0-9._-]")
"""Characters that could end the file name in a header. Files of runs don't have them."""


def served_type(content_type: str) -> str:
    """The media type of a download: the given one if it is safe, else that of arbitrary bytes."""
    return content_type if content_type in SAFE_TYPES else OPAQUE


def response_parameters(key: str, content_type: str) -> dict[str, str]:
    """GetObject parameters that set the response headers for the object `key`."""
    name = _UNUSUAL.sub("_", key.rsplit("/", 1)[-1])
    served = served_type(content_type)
    way = "inline" if served == content_type else "attachment"
    return {"ResponseContentType": served, "ResponseContentDisposition": f'{way}; filename="{name}"'}
