"""What a link says of the file that a browser downloads. Pure; its parameters are signed into links by
storage/client.py.

A job's status names the media type of each file, and who may write a status may name any: of an HTML page or an SVG
a browser would run the scripts, with the storage's address as their origin. So only the types that runs make are
served as such. The type is a part of the signature: another one in the link makes it invalid.
"""

import re

OPAQUE = "application/octet-stream"

SAFE_TYPES = frozenset({"image/png", "video/mp4", OPAQUE})
"""What runs make (runner/darkroom_runner/lifecycle.py), and no browser runs."""

_UNUSUAL = re.compile(r"[^A-Za-z0-9._-]")
"""Names of runs' files have no such character; in a header they could end the name and begin something else."""


def served_type(content_type: str) -> str:
    """The media type that a download has: the given one where it is safe, else that of any bytes."""
    return content_type if content_type in SAFE_TYPES else OPAQUE


def response_parameters(key: str, content_type: str) -> dict[str, str]:
    """The parameters of GetObject that fix headers of its answer, for the object under `key`."""
    name = _UNUSUAL.sub("_", key.rsplit("/", 1)[-1])
    served = served_type(content_type)
    way = "inline" if served == content_type else "attachment"
    return {"ResponseContentType": served, "ResponseContentDisposition": f'{way}; filename="{name}"'}
