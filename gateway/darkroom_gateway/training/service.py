"""Taking a training: photos are checked and stored, then one TrainJob is created. Called by training/router.py."""

import asyncio
import logging
import os
from typing import IO

import anyio
from starlette.requests import Request

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.specs import TrainJobSpec
from darkroom_contract.storage import dataset_prefix, dataset_uri, parse_uri
from darkroom_gateway.backends.calls import Backend
from darkroom_gateway.backends.deadlines import upload_seconds
from darkroom_gateway.errors import ClusterUnavailableError, KeyReusedError
from darkroom_gateway.jobs.busy_policy import BusyCheck
from darkroom_gateway.jobs.parameters import TrainParameters, train_spec
from darkroom_gateway.jobs.submission import JobSubmission, require_kept, require_same_photos, task_id
from darkroom_gateway.jobs.task_ids import new_dataset_id
from darkroom_gateway.models.base_models import BaseModelChecker
from darkroom_gateway.photos.upload_validator import Photo, UploadValidator, fingerprint
from darkroom_gateway.storage.client import ObjectStorage
from darkroom_gateway.training.orphaned_photos import OrphanedPhotos, Uploads

log = logging.getLogger(__name__)


class TrainingService:
    """Takes trainings."""

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
        self._leftovers = orphaned_photos
        self._photo_door = upload_validator
        self._base_models = base_models
        self._busy = busy

    async def submit(
        self, parameters: TrainParameters, request: Request, idempotency_key: str | None, key_name: str | None
    ) -> Job:
        """Everything is checked before anything is stored, and stored before anything is created.

        Raises `KeyReusedError` when the key came with other parameters or photos before or its job is being deleted,
        and `InvalidRequestError` for a base model that is not there.
        """
        prefix = dataset_prefix(self._submission.namespace, new_dataset_id())
        spec = train_spec(parameters, dataset_uri(self._storage.bucket, prefix))
        name = task_id(Kind.TRAIN, idempotency_key)
        if idempotency_key is not None:
            earlier = await self._submission.find_earlier(name, spec)
            if earlier is not None:
                require_kept(earlier)
                require_same_photos(earlier, await self._photo_door.fingerprint(request))
                return earlier
        await self._base_models.require(spec.base_model)
        await self._busy.require_free_slot()
        async with self._photo_door.receive(request) as photos:
            # A gateway that ends must not leave photos without a job in the middle of it.
            with anyio.CancelScope(shield=True):
                job = await self._store_and_create(name, spec, prefix, photos, key_name)
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
            log.error("left %d photos in %s: the gateway ends in the middle of the submission", len(uploads), prefix)
            raise
        except Exception as error:
            if isinstance(error, ClusterUnavailableError) and error.maybe_done:
                log.error("kept %d photos in %s: it is unknown whether %s was created", len(photos), prefix, name)
                self._leftovers.remove_unless_used(uploads, lambda: self._is_used(name, spec, prefix))
            else:
                await self._leftovers.remove(uploads)
            raise
        if not _has_photos(job, prefix):
            await self._leftovers.remove(uploads)  # Another copy of this request came first, with photos of its own.
        return job

    async def _is_used(self, name: str, spec: TrainJobSpec, prefix: str) -> bool:
        """Whether there is a job with these photos. Raises `ClusterUnavailableError`."""
        try:
            job = await self._submission.find_earlier(name, spec)
        except KeyReusedError:
            return False  # Another request made the job of this name.
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
