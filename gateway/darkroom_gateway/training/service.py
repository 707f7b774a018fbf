"""Submission of trainings: checks and stores the photos, then creates one TrainJob. Called by training/router.py."""

import asyncio
import logging
import os
from typing import IO

import anyio
from starlette.requests import Request

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.storage.keys import dataset_prefix, dataset_uri, parse_uri
from darkroom_gateway.backends.calls import Backend
from darkroom_gateway.backends.deadlines import upload_seconds
from darkroom_gateway.errors import ClusterUnavailableError, KeyReusedError
from darkroom_gateway.jobs.busy_policy import BusyCheck
from darkroom_gateway.jobs.dependencies import Submitter
from darkroom_gateway.jobs.submission import JobSubmission, require_kept, require_same_photos, task_id
from darkroom_gateway.jobs.task_ids import new_dataset_id
from darkroom_gateway.models.base_models import BaseModelChecker
from darkroom_gateway.photos.upload_validator import Photo, UploadValidator, fingerprint
from darkroom_gateway.storage.client import ObjectStorage
from darkroom_gateway.training.orphaned_photos import OrphanedPhotos, Uploads
from darkroom_gateway.training.parameters import TrainParameters, train_spec

log = logging.getLogger(__name__)


class TrainingService:
    """Submits trainings."""

    def __init__(
        self,
        submission: JobSubmission,
        storage: ObjectStorage,
        uploads: Backend,
        orphaned_photos: OrphanedPhotos,
        upload_validator: UploadValidator,
        base_models: BaseModelChecker,
        busy: BusyCheck,
    ) -> None:
        self._submission = submission
        self._storage = storage
        self._uploads = uploads
        self._orphaned_photos = orphaned_photos
        self._upload_validator = upload_validator
        self._base_models = base_models
        self._busy = busy

    async def submit(self, parameters: TrainParameters, request: Request, submitter: Submitter) -> Job:
        """Check everything, then store the photos, then create the job.

        Raises `KeyReusedError` when the idempotency key was used with other parameters or photos or its job is being
        deleted, `InvalidPhotosError`, `InvalidRequestError` for an unknown base model, or `BusyError`.
        """
        prefix = dataset_prefix(self._submission.namespace, new_dataset_id())
        spec = train_spec(parameters, dataset_uri(self._storage.bucket, prefix))
        name = task_id(Kind.TRAIN, submitter.idempotency_key)
        if submitter.idempotency_key is not None:
            earlier = await self._submission.find_earlier(name, spec)
            if earlier is not None:
                require_kept(earlier)
                require_same_photos(earlier, await self._upload_validator.fingerprint(request))
                return earlier
        await self._base_models.require(spec.base_model)
        await self._busy.require_free_slot()
        async with self._upload_validator.receive(request) as photos:
            # Not cancellable: a gateway that stops here would leave photos without a job.
            with anyio.CancelScope(shield=True):
                job = await self._store_and_create(name, spec, prefix, photos, submitter.key_name)
        return job

    async def _store_and_create(
        self, name: str, spec: TrainJobSpec, prefix: str, photos: list[Photo], key_name: str | None
    ) -> Job:
        uploads: Uploads = {}
        try:
            await self._store(prefix, photos, uploads)
            digest = fingerprint(each.sha256 for each in photos)
            job = await self._submission.create_or_find(name, spec, key_name, digest)
        except asyncio.CancelledError:
            log.error("left %d photos in %s: the gateway is stopping during the submission", len(uploads), prefix)
            raise
        except Exception as error:
            if isinstance(error, ClusterUnavailableError) and error.maybe_done:
                log.error("kept %d photos in %s: it is unknown whether %s was created", len(photos), prefix, name)
                self._orphaned_photos.remove_unless_used(uploads, lambda: self._is_used(name, spec, prefix))
            else:
                await self._orphaned_photos.remove(uploads)
            raise
        if not _has_photos(job, prefix):
            await self._orphaned_photos.remove(uploads)  # A concurrent copy of this request created the job first.
        return job

    async def _is_used(self, name: str, spec: TrainJobSpec, prefix: str) -> bool:
        """Whether a job with these photos exists. Raises `ClusterUnavailableError`."""
        try:
            job = await self._submission.find_earlier(name, spec)
        except KeyReusedError:
            return False  # Another request created the job of this name.
        return job is not None and _has_photos(job, prefix)

    async def _store(self, prefix: str, photos: list[Photo], uploads: Uploads) -> None:
        """Adds each photo to `uploads` as soon as its upload begins."""
        for number, photo in enumerate(photos):
            key = f"{prefix}{number:03d}.{photo.extension}"
            seconds = upload_seconds(_size_bytes(photo.file))
            uploads[key] = await self._uploads.begin(self._storage.put, key, photo.file, photo.content_type)
            await self._uploads.result(seconds, uploads[key])


def _has_photos(job: Job, prefix: str) -> bool:
    return isinstance(job.spec, TrainJobSpec) and parse_uri(job.spec.dataset.uri)[1] == prefix


def _size_bytes(file: IO[bytes]) -> int:
    file.seek(0, os.SEEK_END)
    size = file.tell()
    file.seek(0)
    return size
