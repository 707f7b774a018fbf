"""Uploaded photos: all of them are checked here before anything is stored or created.

Called by training.py. Decodes by the contract's reading, which the runner shares, and decides nothing about jobs. A
file's own name appears in messages only.
"""

import hashlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO

from anyio import CapacityLimiter, to_thread
from starlette.datastructures import FormData, Headers
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from darkroom_contract import photo_reading
from darkroom_contract import photos as bounds
from darkroom_gateway.errors import Complaint, InvalidPhotosError, invalid_request

MAX_FIELDS = 100
MAX_COMPLAINTS = 20
MAX_GIVEN_CHARACTERS = 200
MIB = 1024**2

DECODERS = 1
"""Photos checked at once. One of 100 megapixels takes up to 979 MiB as a PNG (16-bit grey), 1,552 MiB as a WebP."""

FILES = "files"
CONTENT_TYPES = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "avif": "image/avif",
    "heic": "image/heic",
}


@dataclass(frozen=True)
class Upload:
    """One file of the form."""

    name: str
    """As the person calls it; for messages only."""
    size_bytes: int
    file: IO[bytes]


@dataclass(frozen=True)
class Photo:
    """A checked photo: the person's own bytes, to be stored under a name of ours."""

    extension: str
    sha256: bytes
    file: IO[bytes]

    @property
    def content_type(self) -> str:
        return CONTENT_TYPES[self.extension]


class PhotoDoor:
    """Reads and checks the photos of a request."""

    def __init__(self) -> None:
        self._limiter = CapacityLimiter(DECODERS)

    @asynccontextmanager
    async def receive(self, request: Request) -> AsyncIterator[list[Photo]]:
        """The checked photos of a form, whose temporary files live as long as the context.

        Raises `InvalidPhotosError` with a complaint for each thing to change, and `InvalidRequestError` for fields of
        the form that are no files.
        """
        async with _uploads(request) as uploads:
            yield await self._check(uploads)

    async def fingerprint(self, request: Request) -> str:
        """The fingerprint of the files of a form, whether or not they are photos."""
        async with _uploads(request) as uploads:
            return await to_thread.run_sync(lambda: fingerprint(_sha256(each.file) for each in uploads))

    async def _check(self, uploads: list[Upload]) -> list[Photo]:
        _check_sizes(uploads)
        photos: list[Photo] = []
        complaints: list[Complaint] = []
        for upload in uploads:
            try:
                photos.append(await to_thread.run_sync(check_photo, upload, limiter=self._limiter))
            except InvalidPhotosError as error:
                complaints += error.complaints
        if complaints:
            raise InvalidPhotosError(tuple(complaints[:MAX_COMPLAINTS]))
        return photos


async def _read_form(request: Request) -> FormData:
    """The form; parts beyond 1 MB go to temporary files."""
    if not _is_multipart(request.headers):
        raise _one(
            FILES, "Send the photos as multipart/form-data, one part each: curl -F files=@1.jpg -F files=@2.jpg."
        )
    parser = MultiPartParser(request.headers, request.stream(), max_files=bounds.MAX_PHOTOS, max_fields=MAX_FIELDS)
    try:
        return await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise _one(FILES, f"Send at most {bounds.MAX_PHOTOS} photos: there are more in the form.") from error
        raise _one(FILES, f"Send a whole multipart/form-data body: {error.message}") from error


@asynccontextmanager
async def _uploads(request: Request) -> AsyncIterator[list[Upload]]:
    """Every file part of the form, whatever its field is called; open as long as the context.

    A form whose file chooser was left empty sends one part with neither a name nor content.
    """
    form = await _read_form(request)
    try:
        _refuse_text_fields(form)
        yield [
            Upload(bounds.short_name(value.filename or field), value.size or 0, value.file)
            for field, value in form.multi_items()
            if not isinstance(value, str) and (value.filename or value.size)
        ]
    finally:
        await form.close()


def _refuse_text_fields(form: FormData) -> None:
    """Raises `InvalidRequestError`: nothing reads a text field, so a parameter in one would be lost."""
    texts = {bounds.short_name(field): value for field, value in form.multi_items() if isinstance(value, str)}
    if texts:
        raise invalid_request(
            Complaint(field, _advice_on_text_field(field), value[:MAX_GIVEN_CHARACTERS])
            for field, value in list(texts.items())[:MAX_COMPLAINTS]
        )


def _advice_on_text_field(field: str) -> str:
    if field == FILES:
        return "Send the photo itself as a file, not as text. curl: -F files=@1.jpg, with the @."
    return f"Move it into the query string, ?{field}=...: text fields of the form are not read, only its files."


def _is_multipart(headers: Headers) -> bool:
    return headers.get("content-type", "").lower().startswith("multipart/form-data")


def _check_sizes(uploads: list[Upload]) -> None:
    if len(uploads) < bounds.MIN_PHOTOS:
        raise _one(
            FILES, "Add photos of the subject to the form: there are none. curl: -F files=@1.jpg -F files=@2.jpg."
        )
    large = [upload for upload in uploads if upload.size_bytes > bounds.MAX_PHOTO_BYTES]
    if large:
        limit = bounds.MAX_PHOTO_BYTES // MIB
        raise InvalidPhotosError(
            tuple(
                Complaint(each.name, f"{each.name}: make it at most {limit} MiB.", f"{each.size_bytes} bytes")
                for each in large[:MAX_COMPLAINTS]
            )
        )
    total = sum(upload.size_bytes for upload in uploads)
    if total > bounds.MAX_DATASET_BYTES:
        raise _one(FILES, f"Send at most {bounds.MAX_DATASET_BYTES // MIB} MiB in all: these are {total // MIB} MiB.")


def check_photo(upload: Upload) -> Photo:
    """Decode a photo completely. Raises `InvalidPhotosError`, naming it, when it is no photo that can be trained on."""
    sha256 = _sha256(upload.file)
    upload.file.seek(0)
    try:
        facts = photo_reading.check_photo(upload.file.read(), upload.name)
    except photo_reading.PhotoError as error:
        raise _one(upload.name, str(error), error.given) from error
    upload.file.seek(0)
    return Photo(facts.extension, sha256, upload.file)


def fingerprint(digests: Iterable[bytes]) -> str:
    """SHA-256 over the SHA-256 digests of photos, in order, as 64 hex digits. Names of files don't count."""
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _sha256(file: IO[bytes]) -> bytes:
    """Of the content, read in blocks."""
    file.seek(0)
    return hashlib.file_digest(file, "sha256").digest()  # type: ignore[arg-type]


def _one(parameter: str, message: str, given: str | None = None) -> InvalidPhotosError:
    return InvalidPhotosError((Complaint(parameter, message, given),))
