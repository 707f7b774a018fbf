"""Stores the uploaded files of a submission, then creates its job. Used by the services of trainings and generations.

Files without a job are removed: a failed submission leaves nothing behind. While it is unknown whether the job exists,
its files are kept (jobs/orphaned_photos.py).
"""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import IO

import anyio

from darkroom_contract.jobs import Job
from darkroom_gateway.backends.calls import Backend
from darkroom_gateway.backends.deadlines import upload_seconds
from darkroom_gateway.errors import ClusterUnavailableError, KeyReusedError
from darkroom_gateway.jobs.orphaned_photos import OrphanedPhotos, Uploads
from darkroom_gateway.jobs.submission import JobSubmission, Spec
from darkroom_gateway.storage.client import ObjectStorage

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredFile:
    """A file to store: its name below the submission's prefix, its content, and its media type."""

    name: str
    file: IO[bytes]
    content_type: str


@dataclass(frozen=True)
class NewJob:
    """The job of a submission with files."""

    name: str
    spec: Spec
    prefix: str
    """Prefix of its files, not used by any other submission."""
    sha256: str
    """Fingerprint of its files."""
    key_name: str | None
    uses: Callable[[Job], bool]
    """Whether a job has the files of this submission, and not those of a copy of the request."""
    upload_uri: str | None = None
    """The upload by links that has its files."""


class UploadedFiles:
    """Creates jobs with files."""

    def __init__(
        self, submission: JobSubmission, storage: ObjectStorage, uploads: Backend, orphaned_photos: OrphanedPhotos
    ) -> None:
        self._submission = submission
        self._storage = storage
        self._uploads = uploads
        self._orphaned_photos = orphaned_photos

    async def store_and_create(self, new: NewJob, files: Iterable[StoredFile]) -> Job:
        """Store the files, then create the job, or return that of a concurrent copy of the request.

        Raises what `JobSubmission.create_or_find` raises, and `StorageUnavailableError`.
        """
        # Not cancellable: a gateway that stops here would leave files without a job.
        with anyio.CancelScope(shield=True):
            job = await self._store_and_create(new, files)
        return job  # noqa: RET504 (mypy knows no scope that suppresses nothing)

    async def _store_and_create(self, new: NewJob, files: Iterable[StoredFile]) -> Job:
        uploads: Uploads = {}
        try:
            await self._store(new.prefix, files, uploads)
            job = await self._submission.create_or_find(new.name, new.spec, new.key_name, new.sha256, new.upload_uri)
        except asyncio.CancelledError:
            log.error("left %d files in %s: the gateway is stopping during the submission", len(uploads), new.prefix)
            raise
        except Exception as error:
            if isinstance(error, ClusterUnavailableError) and error.maybe_done:
                log.error("kept %d files in %s: it is unknown whether %s exists", len(uploads), new.prefix, new.name)
                self._orphaned_photos.remove_unless_used(uploads, lambda: self._is_used(new))
            else:
                await self._orphaned_photos.remove(uploads)
            raise
        if not new.uses(job):
            await self._orphaned_photos.remove(uploads)  # A concurrent copy of this request created the job first.
        return job

    async def _is_used(self, new: NewJob) -> bool:
        """Whether a job with these files exists. Raises `ClusterUnavailableError`."""
        try:
            job = await self._submission.find_earlier(new.name, new.spec)
        except KeyReusedError:
            return False  # Another request created the job of this name.
        return job is not None and new.uses(job)

    async def _store(self, prefix: str, files: Iterable[StoredFile], uploads: Uploads) -> None:
        """Adds each file to `uploads` as soon as its upload begins."""
        for each in files:
            seconds, key = upload_seconds(_size_bytes(each.file)), prefix + each.name
            uploads[key] = await self._uploads.begin(self._storage.put, key, each.file, each.content_type)
            await self._uploads.result(seconds, uploads[key])


def _size_bytes(file: IO[bytes]) -> int:
    file.seek(0, os.SEEK_END)
    size = file.tell()
    file.seek(0)
    return size
