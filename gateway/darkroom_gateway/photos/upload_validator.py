"""Validation of uploaded photos, captions and masks, before anything is stored. Called by training/service.py, and for
start pictures by generation/image_resolver.py.

photos/upload_form.py reads the form, photos/captions_and_masks.py pairs its files, and photos/decoder_pool.py decodes
each photo and mask in a child process. The client's file names pair files and appear in messages; nothing is stored
under them.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import IO, Any, TypeVar

from anyio import CapacityLimiter
from starlette.requests import ClientDisconnect, Request

from darkroom_contract.photos import limits as bounds
from darkroom_contract.photos.decoder import DecoderUnavailableError
from darkroom_contract.photos.errors import PhotoError, PhotoLimitError
from darkroom_gateway.backends.file_threads import run_to_end
from darkroom_gateway.errors import DecodersUnavailableError, FieldError, InvalidPhotosError
from darkroom_gateway.http.upload_slots import UploadSlots
from darkroom_gateway.photos.captions_and_masks import (
    DecodedMask,
    PhotoFiles,
    mask_faults,
    paired,
    read_captions,
)
from darkroom_gateway.photos.decoder_pool import DecoderPool, UploadUsage
from darkroom_gateway.photos.file_roles import FileRole
from darkroom_gateway.photos.fingerprint import Digests, fingerprint
from darkroom_gateway.photos.upload_form import Upload, UploadForm, form_error, no_space

Found = TypeVar("Found")

MAX_STOPPED = 5
"""After this many photos of an upload exceeded a decoding limit, the rest is not decoded."""

HASHING_THREADS = 4
CONTENT_TYPES = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "avif": "image/avif",
    "heic": "image/heic",
}


@dataclass(frozen=True)
class Photo:
    """A validated photo or mask. Its bytes are stored unchanged under a generated name."""

    extension: str
    sha256: bytes
    file: IO[bytes]
    size_px: tuple[int, int]
    """Width and height, upright."""
    black: bool = False
    transparent: bool = False
    """Whether any part of it is."""
    caption: str | None = None
    mask: "Photo | None" = None

    @property
    def content_type(self) -> str:
        return CONTENT_TYPES[self.extension]

    @property
    def digests(self) -> Digests:
        return Digests(self.sha256, _text_sha256(self.caption), None if self.mask is None else self.mask.sha256)


class UploadValidator:
    """Reads and validates the photos of a request. `uploads` limits the number of concurrent requests."""

    def __init__(self, decoders: DecoderPool, uploads: int) -> None:
        self._decoders = decoders
        self.slots = UploadSlots(uploads)
        self._hashing = CapacityLimiter(HASHING_THREADS)

    @asynccontextmanager
    async def receive(self, request: Request) -> AsyncIterator[list[Photo]]:
        """The validated photos of a form with their captions and masks. Temporary files exist as long as the context.

        Raises `InvalidPhotosError` with an error for each problem, `InvalidRequestError` for form fields that are not
        files, an `UnavailableError` when a limit of the gateway is reached, and `ClientDisconnect`.
        """
        async with self._form(request) as uploads:
            yield await self.validate(request, uploads)

    async def validate(self, request: Request, uploads: Sequence[Upload]) -> list[Photo]:
        """The validated photos of a form that was read, in the slot of `slots` that its files take.

        Raises `InvalidPhotosError`, `DecodersUnavailableError`, and `ClientDisconnect`.
        """
        if sum(each.role is not FileRole.CAPTION for each in uploads) < bounds.MIN_PHOTOS:
            raise form_error(
                "Add photos of the subject to the form: it has none. curl: -F files=@1.jpg -F files=@2.jpg."
            )
        return await unless_disconnected(request, self._check_files(paired(uploads)))

    async def fingerprint(self, request: Request) -> str:
        """The fingerprint of the files of a form. Does not decode them, but raises for unusable captions."""
        async with self._form(request) as uploads:
            return await self.fingerprint_of(uploads)

    async def fingerprint_of(self, uploads: Sequence[Upload]) -> str:
        """`fingerprint` of a form that was read."""
        files = paired(uploads)
        captions = read_captions(files)
        return fingerprint(
            [
                Digests(
                    await self.sha256(each.photo),
                    _text_sha256(caption),
                    None if each.mask is None else await self.sha256(each.mask),
                )
                for each, caption in zip(files, captions, strict=True)
            ]
        )

    async def _check_files(self, files: Sequence[PhotoFiles]) -> list[Photo]:
        """Check captions, then decode all photos and masks. Raises `InvalidPhotosError`."""
        captions = read_captions(files)
        masks = [each.mask for each in files if each.mask is not None]
        decoded = await self.check([*(each.photo for each in files), *masks])
        photos, left = decoded[: len(files)], iter(decoded[len(files) :])
        found = [
            replace(photo, caption=caption, mask=None if each.mask is None else next(left))
            for each, photo, caption in zip(files, photos, captions, strict=True)
        ]
        masks_found = [
            None if each.mask is None else DecodedMask(each.size_px, each.mask.size_px, each.mask.black)
            for each in found
        ]
        if field_errors := tuple(mask_faults(files, masks_found)):
            raise InvalidPhotosError(field_errors)
        return found

    async def check(self, uploads: Sequence[Upload]) -> list[Photo]:
        """Decode all photos. Raises `InvalidPhotosError` with an error for each unusable photo."""
        check = _Check(self._check_one, self._decoders.share)
        await check.run(uploads)
        return check.photos()

    async def close(self) -> None:
        await self._decoders.close()

    @asynccontextmanager
    async def _form(self, request: Request) -> AsyncIterator[list[Upload]]:
        """All files of the form, with any field name; open as long as the context."""
        with self.slots.hold():
            form = UploadForm()
            try:
                await form.read(request)
                yield form.uploads
            finally:
                form.close()

    async def _check_one(self, upload: Upload, usage: UploadUsage) -> Photo:
        digest = await self.sha256(upload)
        properties = await self._decoders.check(upload.file.fileno(), upload.name, usage)
        upload.file.seek(0)
        return Photo(
            properties.extension, digest, upload.file, properties.size_px, properties.black, properties.transparent
        )

    async def sha256(self, upload: Upload) -> bytes:
        """Raises `NoUploadSpaceError`, because a photo that fit into memory is written to disk here."""
        try:
            return await run_to_end(_sha256, upload.file, limiter=self._hashing)
        except OSError as error:
            raise no_space(error) from error


class _Check:
    """Validates the photos of one upload, several at a time."""

    def __init__(self, check: Callable[[Upload, UploadUsage], Coroutine[Any, Any, Photo]], share: int) -> None:
        self._check = check
        self._share = share
        self._usage = UploadUsage()
        self._found: dict[int, Photo | FieldError] = {}
        self._stopped = 0
        self._unchecked = 0

    async def run(self, uploads: Sequence[Upload]) -> None:
        """Raises `DecodersUnavailableError` or `NoUploadSpaceError`. `photos` reports all other problems."""
        waiting = iter(enumerate(uploads))

        async def work() -> None:
            for number, upload in waiting:
                if self._stopped < MAX_STOPPED:
                    await self._validate(number, upload)
                else:
                    self._unchecked += 1

        workers = [asyncio.create_task(work()) for _ in range(min(self._share, len(uploads)))]
        try:
            await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            await _cancel(*workers)
        try:
            for worker in workers:
                if not worker.cancelled():
                    worker.result()
        except DecoderUnavailableError as error:
            raise DecodersUnavailableError(str(error)) from error

    async def _validate(self, number: int, upload: Upload) -> None:
        try:
            self._found[number] = await self._check(upload, self._usage)
        except PhotoError as error:
            self._stopped += isinstance(error, PhotoLimitError)
            self._found[number] = FieldError(upload.name, str(error), error.given)

    def photos(self) -> list[Photo]:
        """In the order of the form. Raises `InvalidPhotosError`."""
        found = [self._found[number] for number in sorted(self._found)]
        if field_errors := tuple(each for each in found if isinstance(each, FieldError)):
            raise InvalidPhotosError(field_errors, self._remark())
        return [each for each in found if isinstance(each, Photo)]

    def _remark(self) -> str | None:
        """About the photos that were not decoded: whether they are faulty is unknown."""
        if not self._unchecked:
            return None
        photos = "1 photo was" if self._unchecked == 1 else f"{self._unchecked} photos were"
        return f"{photos} not decoded, since decoding was stopped for {self._stopped} others."


async def unless_disconnected(request: Request, work: Coroutine[Any, Any, Found]) -> Found:
    """The result of `work`. Cancels it and raises `ClientDisconnect` when the client disconnects."""
    working, leaving = asyncio.create_task(work), asyncio.create_task(_disconnect(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        await _cancel(working, leaving)


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _cancel(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _text_sha256(text: str | None) -> bytes | None:
    return None if text is None else hashlib.sha256(text.encode()).digest()


def _sha256(file: IO[bytes]) -> bytes:
    """SHA-256 of the content. `fileno` moves the file to disk, with a descriptor to pass to a decoder."""
    file.fileno()
    file.seek(0)
    return hashlib.file_digest(file, "sha256").digest()  # type: ignore[arg-type]
