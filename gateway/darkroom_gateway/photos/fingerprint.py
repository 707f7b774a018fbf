"""Fingerprint of an upload, by which a repeated request with an `Idempotency-Key` is recognised. Pure."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Digests:
    """SHA-256 digests of a photo, its caption and its mask."""

    photo: bytes
    caption: bytes | None = None
    mask: bytes | None = None


def fingerprint(files: Sequence[Digests]) -> str:
    """64 hex digits: SHA-256 over the digests of the photos, in order. Independent of file names.

    With captions or masks, SHA-256 over that and the digests of these files, each with its role and the number of its
    photo. So the fingerprint of photos alone stays that of earlier releases.
    """
    of_photos = hashlib.sha256(b"".join(each.photo for each in files))
    others = [
        f"{role} {number}:".encode() + digest
        for number, each in enumerate(files)
        for role, digest in (("caption", each.caption), ("mask", each.mask))
        if digest is not None
    ]
    return hashlib.sha256(of_photos.digest() + b"".join(others)).hexdigest() if others else of_photos.hexdigest()
