"""Photos that clients upload to object storage by presigned links: `POST /v1/uploads`. Called by v1/uploads_router.py
and v1/submissions.py.

An upload is a staging area: a submission downloads its files, checks them as those of a form, and stores them as a
dataset of its own. So links that are still valid can't change photos that were checked, and nothing is trained on that
was not. deletion/upload_collector.py removes old uploads.
"""

import io
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO

from anyio import to_thread
from pydantic import ValidationError
from starlette.requests import Request

from darkroom_contract.photos import limits as bounds
from darkroom_contract.specs.dataset import MAX_CAPTION_CHARACTERS, Dataset
from darkroom_contract.storage.keys import dataset_prefix, dataset_uri, parse_uri
from darkroom_gateway.backends.calls import Backends
from darkroom_gateway.backends.deadlines import STORAGE_SECONDS, upload_seconds
from darkroom_gateway.errors import FieldError, InvalidRequestError, invalid_request
from darkroom_gateway.jobs.task_ids import UPLOAD_ID_PATTERN, new_upload_id
from darkroom_gateway.photos.captions_and_masks import PhotoFiles, paired
from darkroom_gateway.photos.file_roles import FileRole, role_and_stem
from darkroom_gateway.photos.upload_form import MAX_CAPTION_BYTES, MIB, Upload, no_space
from darkroom_gateway.photos.upload_validator import Photo, UploadValidator
from darkroom_gateway.storage.client import ObjectStorage
from darkroom_gateway.storage.presigned_links import Link
from darkroom_gateway.v1.upload_schemas import (
    AnnouncedFile,
    StoredUploadFile,
    UploadAnswer,
    UploadedDataset,
    UploadLink,
    UploadRecord,
)

RECORD = ".upload.json"
"""A hidden file, which a run skips."""
MAX_RECORD_BYTES = 1024**2
"""Twice the record of as many files with as long names as an upload may have."""
MAX_NAMED = 5
"""Files that an error lists."""

_CHANGED = "The list of the files of this upload was changed. Upload the files again."

_UNUSUAL = re.compile(r"[^A-Za-z0-9_-]+")


class Uploads:
    """The uploads of one namespace."""

    def __init__(self, storage: ObjectStorage, backends: Backends, validator: UploadValidator, namespace: str) -> None:
        self._storage = storage
        self._backends = backends
        self._validator = validator
        self._namespace = namespace

    async def begin(self, announced: Sequence[AnnouncedFile]) -> UploadAnswer:
        """Links for these files. Raises `InvalidRequestError` or `StorageUnavailableError`."""
        if faults := _size_faults(announced):
            raise invalid_request(faults)
        prefix = dataset_prefix(self._namespace, new_upload_id())
        keys = [prefix + name for name in _stored_names(announced)]
        # In a thread: hundreds of signatures would block the event loop.
        links = await to_thread.run_sync(self._links, keys, announced)
        files = [StoredUploadFile(key=key, **each.model_dump()) for key, each in zip(keys, announced, strict=True)]
        record = UploadRecord(files=tuple(files)).model_dump_json(by_alias=True).encode()
        await self._backends.storage.call(
            STORAGE_SECONDS, self._storage.write, prefix + RECORD, record, "application/json"
        )
        return UploadAnswer(
            dataset=UploadedDataset(uri=dataset_uri(self._storage.bucket, prefix)),
            files=[
                UploadLink(name=each.name, method="PUT", url=link.url, headers={})
                for each, link in zip(announced, links, strict=True)
            ],
            expires=min(each.expires for each in links),
        )

    def _links(self, keys: Sequence[str], announced: Sequence[AnnouncedFile]) -> list[Link]:
        return [self._storage.upload_link(key, each.bytes) for key, each in zip(keys, announced, strict=True)]

    def photos(self, dataset: Dataset, request: Request) -> "UploadedPhotos | None":
        """The photos of a dataset that is an upload; None for any other. Raises `InvalidRequestError` for captions in
        the spec, which belong to files of an upload."""
        bucket, prefix = parse_uri(dataset.uri)
        upload_id = prefix.removeprefix(dataset_prefix(self._namespace)).removesuffix("/")
        if bucket != self._storage.bucket or not re.fullmatch(UPLOAD_ID_PATTERN, upload_id):
            return None
        if dataset.captions:
            message = "Leave it out, and upload captions as files: photo.txt for photo.jpg."
            raise invalid_request([FieldError("dataset.captions", message)])
        return UploadedPhotos(self._storage, self._backends, self._validator, request, prefix)


@dataclass(frozen=True)
class UploadedPhotos:
    """The photos of one upload, as a `PhotoSource`."""

    storage: ObjectStorage
    backends: Backends
    validator: UploadValidator
    request: Request
    prefix: str

    @property
    def upload_uri(self) -> str:
        return dataset_uri(self.storage.bucket, self.prefix)

    async def fingerprint(self) -> str:
        async with self._files() as uploads:
            return await self.validator.fingerprint_of(uploads)

    @asynccontextmanager
    async def receive(self) -> AsyncIterator[list[Photo]]:
        async with self._files() as uploads:
            yield await self.validator.validate(self.request, uploads)

    @asynccontextmanager
    async def _files(self) -> AsyncIterator[list[Upload]]:
        """The downloaded files. Raises `InvalidRequestError`, `StorageUnavailableError` or `NoUploadSpaceError`."""
        files = await self._complete_files()
        with self.validator.slots.hold():
            uploads: list[Upload] = []
            try:
                for each in files:
                    uploads.append(_empty(each))
                    await self._download(uploads[-1], each)
                yield uploads
            finally:
                for upload in uploads:
                    upload.file.close()

    async def _complete_files(self) -> Sequence[StoredUploadFile]:
        """Raises `InvalidRequestError` unless all files were uploaded."""
        stored = await self.backends.storage.call(STORAGE_SECONDS, self.storage.sizes, self.prefix)
        record = await self._record(stored.get(self.prefix + RECORD))
        if _size_faults(record.files) or not all(each.key.startswith(self.prefix) for each in record.files):
            raise self._refused(_CHANGED)
        missing = [bounds.short_name(each.name) for each in record.files if stored.get(each.key) != each.bytes]
        if missing:
            more = f" and {len(missing) - MAX_NAMED} more" if len(missing) > MAX_NAMED else ""
            raise self._refused(f"Upload all files first. Missing: {', '.join(missing[:MAX_NAMED])}{more}.")
        return record.files

    async def _record(self, size_bytes: int | None) -> UploadRecord:
        """Raises `InvalidRequestError` for a record that is gone or can't be read."""
        if size_bytes is not None and size_bytes > MAX_RECORD_BYTES:
            raise self._refused(_CHANGED)
        content = await self.backends.storage.call(STORAGE_SECONDS, self.storage.read, self.prefix + RECORD)
        try:
            if content is not None:
                return UploadRecord.model_validate_json(content)
        except ValidationError:
            raise self._refused(_CHANGED) from None
        raise self._refused("There is no such upload: it was removed a day after its last file. Upload them again.")

    async def _download(self, upload: Upload, stored: StoredUploadFile) -> None:
        seconds, storage = upload_seconds(stored.bytes), self.storage
        try:
            await self.backends.uploads.call(
                seconds, storage.download, storage.bucket, stored.key, upload.file, stored.bytes
            )
            await self._require_content(upload, stored)
        except OSError as error:
            raise no_space(error) from error

    async def _require_content(self, upload: Upload, stored: StoredUploadFile) -> None:
        if stored.sha256 is None:
            return
        found = (await self.validator.sha256(upload)).hex()
        if found != stored.sha256:
            message = f"{upload.name} is damaged: its SHA-256 is not the announced one. Upload it again."
            raise invalid_request([FieldError(upload.name, message, found)])

    def _refused(self, message: str) -> InvalidRequestError:
        return invalid_request([FieldError("dataset.uri", message, self.upload_uri)])


def _empty(stored: StoredUploadFile) -> Upload:
    # Not spooled: the thread of an abandoned download may still write when it is closed (backends/file_threads.py).
    file: IO[bytes] = TemporaryFile()  # noqa: SIM115 (closed by `_files`)
    role, stem = role_and_stem(stored.name)
    return Upload(bounds.short_name(stored.name), stored.bytes, file, role, stem)


def _size_faults(announced: Sequence[AnnouncedFile | StoredUploadFile]) -> list[FieldError]:
    """An error for each too large file, and for too many, by the limits of forms."""
    faults = [
        FieldError(f"files[{number}].bytes", f"Use a caption of at most {MAX_CAPTION_CHARACTERS:,} characters.")
        for number, each in enumerate(announced)
        if role_and_stem(each.name)[0] is FileRole.CAPTION and each.bytes > MAX_CAPTION_BYTES
    ]
    if sum(each.bytes for each in announced) > bounds.MAX_DATASET_BYTES:
        faults.append(FieldError("files", f"Announce at most {bounds.MAX_DATASET_BYTES // MIB} MiB in total."))
    roles = Counter(role_and_stem(each.name)[0] for each in announced)
    too_many = [role for role, count in roles.items() if count > bounds.MAX_PHOTOS]
    return faults + [FieldError("files", f"Announce at most {bounds.MAX_PHOTOS} {role}s.") for role in too_many]


def _stored_names(announced: Sequence[AnnouncedFile]) -> list[str]:
    """File names for storage, in the order of the request. Raises `InvalidPhotosError` for captions and masks without
    a photo."""
    uploads = [_announced(each) for each in announced]
    names: dict[int, str] = {}
    for number, files in enumerate(paired(uploads)):
        stem = f"{number:03d}-{_UNUSUAL.sub('-', files.photo.stem)[:60]}"
        for upload, suffix in _suffixes(files):
            names[id(upload)] = stem + suffix
    return [names[id(each)] for each in uploads]


def _announced(file: AnnouncedFile) -> Upload:
    role, stem = role_and_stem(file.name)
    return Upload(bounds.short_name(file.name), file.bytes, io.BytesIO(), role, stem)


def _suffixes(files: PhotoFiles) -> list[tuple[Upload, str]]:
    found = [(files.photo, _extension(files.photo.name))]
    if files.caption is not None:
        found.append((files.caption, ".txt"))
    if files.mask is not None:
        found.append((files.mask, f".mask{_extension(files.mask.name)}"))
    return found


def _extension(name: str) -> str:
    """The extension of a photo's name, in lower case; .jpg for one without. The content decides its format."""
    return f".{name.rpartition('.')[2].lower()}" if bounds.is_photo_name(name) else ".jpg"
