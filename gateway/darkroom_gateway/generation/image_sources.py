"""Where the pictures of a generation come from, by the parameters of its request. Pure.

Each of the three pictures has at most one source: a part of the form, a link, an artifact of an earlier task, or a URI.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from darkroom_gateway.errors import FieldError, invalid_request

IMAGE_FILE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""An artifact by its name in the answer of GET /images."""


class ImageRole(StrEnum):
    """What a picture is for. Also the name of its part of the form, and of its file in storage."""

    IMAGE = "image"
    MASK = "mask"
    VIDEO_IMAGE = "video_image"

    @property
    def url_parameter(self) -> str:
        return f"{self}_url"

    @property
    def uri_parameter(self) -> str:
        return f"{self}_uri"

    @property
    def task_parameter(self) -> str:
        return f"{self}_task_id"

    @property
    def file_parameter(self) -> str:
        return f"{self}_file"

    @property
    def parameters(self) -> tuple[str, ...]:
        """All that say where it comes from."""
        return self.url_parameter, self.task_parameter, self.file_parameter, self.uri_parameter

    @property
    def ways(self) -> str:
        """For messages: the ways to give this picture."""
        return (
            f"send it as the part {self} of a form, or with {self.url_parameter}, {self.task_parameter} or "
            f"{self.uri_parameter}"
        )


class SourceKind(StrEnum):
    """Ways to give a picture."""

    UPLOAD = "upload"
    URL = "url"
    TASK = "task"
    URI = "uri"


@dataclass(frozen=True)
class Source:
    """Where one picture comes from."""

    kind: SourceKind
    value: str = ""
    """The link, the task id or the URI; empty for an upload."""
    file: str | None = None
    """Which artifact of a task; None for its first picture."""

    def digest(self, upload_sha256: bytes | None) -> bytes:
        """What a repeated request with the same idempotency key must have in common with the first."""
        content = upload_sha256 or f"{self.value}\n{self.file or ''}".encode()
        return hashlib.sha256(f"{self.kind}\n".encode() + content).digest()


Sources = dict[ImageRole, Source]


def read_sources(parameters: Any, parts: Collection[ImageRole]) -> Sources:
    """The source of each picture. `parts` are those of the form. Raises `InvalidRequestError`."""
    found: Sources = {}
    faults = list(_faults(parameters, parts))
    if faults:
        raise invalid_request(faults)
    for role in ImageRole:
        for source in _given(parameters, role, parts).values():
            found[role] = source
    return found


def fingerprint(digests: Mapping[ImageRole, bytes]) -> str:
    """64 hex digits for all pictures of a request."""
    lines = b"".join(f"{role}:".encode() + digests[role] for role in ImageRole if role in digests)
    return hashlib.sha256(lines).hexdigest()


def _given(parameters: Any, role: ImageRole, parts: Collection[ImageRole]) -> dict[str, Source]:
    """By parameter; the part of the form by its own name."""
    given = {role.value: Source(SourceKind.UPLOAD)} if role in parts else {}
    kinds = {
        role.url_parameter: SourceKind.URL,
        role.task_parameter: SourceKind.TASK,
        role.uri_parameter: SourceKind.URI,
    }
    for name, kind in kinds.items():
        value = getattr(parameters, name)
        if value is not None:
            file = getattr(parameters, role.file_parameter) if kind is SourceKind.TASK else None
            given[name] = Source(kind, value, file)
    return given


def _faults(parameters: Any, parts: Collection[ImageRole]) -> Iterator[FieldError]:
    for role in ImageRole:
        names = list(_given(parameters, role, parts))
        if len(names) > 1:
            message = f"Leave it or {names[0]} out: a generation has one picture of this kind."
            yield FieldError(names[-1], message, getattr(parameters, names[-1]))
        file = getattr(parameters, role.file_parameter)
        if file is not None and role.task_parameter not in names:
            yield FieldError(role.file_parameter, f"Add {role.task_parameter}, the task that made it.", file)
