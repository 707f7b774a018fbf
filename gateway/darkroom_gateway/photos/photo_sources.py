"""Where the photos of a training come from. Used by training/service.py.

The photos of a request are read late: a refused request is answered without them, and a repeated one without decoding.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request

from darkroom_gateway.photos.upload_form import Upload
from darkroom_gateway.photos.upload_validator import Photo, UploadValidator


class PhotoSource(Protocol):
    """Photos that were not checked yet. One of the two methods is called, once."""

    @property
    def upload_uri(self) -> str | None:
        """The upload by links that has them. It identifies them also when the upload no longer exists."""

    async def fingerprint(self) -> str:
        """Identifies the photos, without decoding them."""

    def receive(self) -> AbstractAsyncContextManager[list[Photo]]:
        """The checked photos. Their files exist as long as the context. Raises what `UploadValidator.receive` does."""


@dataclass(frozen=True)
class PhotosOfBody:
    """The form that is the whole body of a request."""

    validator: UploadValidator
    request: Request
    upload_uri: str | None = None

    async def fingerprint(self) -> str:
        return await self.validator.fingerprint(self.request)

    def receive(self) -> AbstractAsyncContextManager[list[Photo]]:
        return self.validator.receive(self.request)


@dataclass(frozen=True)
class PhotosOfFiles:
    """Files that the caller has read, with the slot that it holds for them. It closes them."""

    validator: UploadValidator
    request: Request
    uploads: list[Upload]
    upload_uri: str | None = None

    async def fingerprint(self) -> str:
        return await self.validator.fingerprint_of(self.uploads)

    @asynccontextmanager
    async def receive(self) -> AsyncIterator[list[Photo]]:
        yield await self.validator.validate(self.request, self.uploads)
