"""Submission of trainings: checks and stores the photos, then creates one TrainJob. Called by training/router.py."""

import io
from collections.abc import Iterator

from starlette.requests import Request

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.specs.dataset import Dataset
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.storage.keys import dataset_prefix, dataset_uri, parse_uri
from darkroom_gateway.jobs.busy_policy import BusyCheck
from darkroom_gateway.jobs.dependencies import Submitter
from darkroom_gateway.jobs.submission import (
    JobSubmission,
    require_kept,
    require_same_dataset,
    require_same_photos,
    task_id,
)
from darkroom_gateway.jobs.task_ids import new_dataset_id
from darkroom_gateway.jobs.uploaded_files import NewJob, StoredFile, UploadedFiles
from darkroom_gateway.models.base_models import BaseModelChecker
from darkroom_gateway.photos.fingerprint import fingerprint
from darkroom_gateway.photos.photo_sources import PhotosOfBody, PhotoSource
from darkroom_gateway.photos.upload_validator import Photo, UploadValidator
from darkroom_gateway.training.contradictions import (
    masks_without_effect,
    reject_contradictions,
    too_many_held_out,
)
from darkroom_gateway.training.parameters import TrainParameters, train_spec
from darkroom_gateway.training.references import TrainingReferences, require_no_body


class TrainingService:
    """Submits trainings."""

    def __init__(
        self,
        submission: JobSubmission,
        bucket: str,
        uploaded_files: UploadedFiles,
        upload_validator: UploadValidator,
        base_models: BaseModelChecker,
        references: TrainingReferences,
        busy: BusyCheck,
    ) -> None:
        self._submission = submission
        self._bucket = bucket
        self._uploaded_files = uploaded_files
        self._upload_validator = upload_validator
        self._base_models = base_models
        self._references = references
        self._busy = busy

    async def submit(self, parameters: TrainParameters, request: Request, submitter: Submitter) -> Job:
        """Submit the training of these parameters, on the photos of the body or of `dataset_uri`.

        Raises `InvalidRequestError` for contradictory parameters, and what `submit_spec` raises.
        """
        photos = PhotosOfBody(self._upload_validator, request) if parameters.dataset_uri is None else None
        spec = train_spec(parameters, parameters.dataset_uri or dataset_uri(self._bucket, self._new_prefix()))
        reject_contradictions(parameters, spec)
        if photos is None:
            await require_no_body(request)
        return await self.submit_spec(spec, photos, submitter)

    async def submit_spec(self, spec: TrainJobSpec, photos: PhotoSource | None, submitter: Submitter) -> Job:
        """Check everything, then store the photos, if there are any, as the spec's dataset, then create the job.

        Raises `KeyReusedError` when the idempotency key was used with other parameters or photos or its job is being
        deleted, `InvalidPhotosError`, `InvalidRequestError` for an unknown base model or dataset, `UnknownModelError`
        for an unknown initial LoRA, or `BusyError`.
        """
        name = task_id(Kind.TRAIN, submitter.idempotency_key)
        if submitter.idempotency_key is not None:
            earlier = await self._submission.find_earlier(name, spec)
            if earlier is not None:
                require_kept(earlier)
                if photos is None:
                    require_same_dataset(earlier, spec)
                elif photos.upload_uri is None or photos.upload_uri != earlier.upload_uri:
                    require_same_photos(earlier, await photos.fingerprint())
                return earlier
        await self.require(spec, uploads_photos=photos is not None)
        await self._submission.require_capacity(submitter.key_name)
        if photos is None:
            return await self._submission.create_or_find(name, spec, submitter.key_name)
        prefix = self._new_prefix()
        spec = spec.model_copy(update={"dataset": Dataset(uri=dataset_uri(self._bucket, prefix))})
        async with photos.receive() as received:
            _require_usable(received, spec)
            new = NewJob(
                name=name,
                spec=spec,
                prefix=prefix,
                sha256=fingerprint([each.digests for each in received]),
                key_name=submitter.key_name,
                uses=lambda job: _has_photos(job, prefix),
                upload_uri=photos.upload_uri,
            )
            return await self._uploaded_files.store_and_create(new, _stored_files(received))

    async def require(self, spec: TrainJobSpec, *, uploads_photos: bool) -> None:
        """Check what the spec refers to, and the busy policy."""
        self._submission.require_webhook(spec)
        await self._base_models.require(spec.base_model)
        await self._references.require(spec, uploads_photos=uploads_photos)
        await self._busy.require_free_slot()

    def _new_prefix(self) -> str:
        return dataset_prefix(self._submission.namespace, new_dataset_id())


def _require_usable(photos: list[Photo], spec: TrainJobSpec) -> None:
    """Raises `InvalidRequestError` when the photos and the parameters contradict each other."""
    if spec.training.held_out_photos >= len(photos):
        raise too_many_held_out(spec.training.held_out_photos, len(photos))
    if spec.training.masked_loss is None and any(each.mask is not None for each in photos):
        raise masks_without_effect()


def _stored_files(photos: list[Photo]) -> Iterator[StoredFile]:
    """The files of all photos: `000.jpg`, `000.txt` and `000.mask.png`.

    A mask has that name whatever its format: readers go by the content.
    """
    for number, photo in enumerate(photos):
        yield StoredFile(f"{number:03d}.{photo.extension}", photo.file, photo.content_type)
        if photo.caption is not None:
            yield StoredFile(f"{number:03d}.txt", io.BytesIO(photo.caption.encode()), "text/plain; charset=utf-8")
        if photo.mask is not None:
            yield StoredFile(f"{number:03d}.mask.png", photo.mask.file, photo.mask.content_type)


def _has_photos(job: Job, prefix: str) -> bool:
    return isinstance(job.spec, TrainJobSpec) and parse_uri(job.spec.dataset.uri)[1] == prefix
