"""How an S3 server is addressed: what gateway and runner accept in `DARKROOM_S3_*`, and why they refuse the rest.

Pure: nothing here connects to anything. Every function raises `ValueError` with a sentence that names the variable.
"""

import ipaddress
import re
from enum import StrEnum
from urllib.parse import urlsplit

from darkroom_contract import environment


class AddressingStyle(StrEnum):
    """Where the bucket stands in an address. AWS: "Virtual hosting of general purpose buckets"."""

    PATH = "path"
    """`https://s3.example.com/bucket/key`: MinIO, SeaweedFS, Ceph and most others."""
    VIRTUAL = "virtual"
    """`https://bucket.s3.example.com/key`: AWS, and servers that take nothing else."""
    AUTO = "auto"
    """boto3 chooses: virtual on AWS, path on every other endpoint."""


_HOST_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,61})[a-z0-9]")
"""A bucket name that is one label of a host name. boto3 silently falls back to path style for any other over TLS."""


def read_endpoint_url(name: str, text: str | None) -> str | None:
    """The URL of an S3 endpoint, without a trailing slash; None when it is empty or unset."""
    if not text:
        return None
    fault = _fault(text)
    if fault is not None:
        # A password is not repeated.
        given = "holds a user or a password" if "@" in text else f"is {text!r}"
        raise ValueError(f"{name} {given}: {fault}")
    parts = urlsplit(text)
    return f"{parts.scheme}://{parts.netloc}"


def read_addressing_style(text: str | None) -> AddressingStyle:
    """`path` when it is empty or unset."""
    try:
        return AddressingStyle(text or AddressingStyle.PATH)
    except ValueError:
        raise ValueError(f"{environment.S3_ADDRESSING_STYLE} is {text!r}: use path, virtual or auto.") from None


def require_host_for(style: AddressingStyle, bucket: str, *endpoints: str | None) -> None:
    """Refuse what boto3 would answer by silently going back to path style: signed links would not work."""
    if style is not AddressingStyle.VIRTUAL:
        return
    name = environment.S3_ADDRESSING_STYLE
    if not _HOST_LABEL.fullmatch(bucket):
        raise ValueError(
            f"{name} is virtual, and the bucket {bucket!r} can't be part of a host name: use a bucket of 3 to 63 "
            "lower-case letters, digits and '-', or path."
        )
    for endpoint in endpoints:
        if endpoint is not None and _is_ip_address(urlsplit(endpoint).hostname or ""):
            raise ValueError(
                f"{name} is virtual, and {endpoint} has no host name: name the storage by one, or use path."
            )


def _fault(text: str) -> str | None:
    """What is wrong with an endpoint, and what to do; None when it can be used."""
    try:
        parts = urlsplit(text)
        has_host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        has_host = False
    if not has_host or parts.scheme not in ("http", "https") or not text.isascii() or re.search(r"[\s\\]", text):
        return "write https://host or http://host:port."
    if "@" in parts.netloc:
        return (
            "credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Write https://host or http://host:port."
        )
    if parts.path not in ("", "/"):
        return (
            "an S3 signature covers the path, so storage behind a path answers 403. "
            "Give it a host name or a port of its own, and write https://host or http://host:port."
        )
    if "?" in text or "#" in text:
        return "an endpoint has no query and no fragment. Write https://host or http://host:port."
    return None


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
