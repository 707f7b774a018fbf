"""Retries: a new job with the spec of a finished one. Called by v1/jobs_router.py."""

from starlette.requests import Request

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_gateway.errors import AlreadyDeletingError, FieldError, UnfinishedJobError
from darkroom_gateway.generation.image_resolver import ImageResolver
from darkroom_gateway.generation.image_sources import Source, SourceKind
from darkroom_gateway.generation.service import GenerationService
from darkroom_gateway.jobs.dependencies import Submitter
from darkroom_gateway.jobs.serializers import phase_of
from darkroom_gateway.jobs.service import JobService
from darkroom_gateway.jobs.submission import JobSubmission, Spec, require_kept
from darkroom_gateway.jobs.task_ids import new_task_id, task_id_for
from darkroom_gateway.photos.upload_validator import unless_disconnected
from darkroom_gateway.training.service import TrainingService
from darkroom_gateway.v1.field_names import in_fields
from darkroom_gateway.v1.submissions import images_of


def _unfinished(job: Job) -> str:
    """Why a job can't be retried, and what to do. A suspended one would run twice: itself when it is resumed, and its
    copy."""
    if job.spec.suspend:
        return f"Resume {job.name} instead: it is suspended, and continues from what it has saved. Or cancel it."
    return f"Wait until {job.name} has finished, or cancel it: it is {phase_of(job)}."


class JobRetries:
    """Retries the jobs of one namespace."""

    def __init__(
        self,
        jobs: JobService,
        submission: JobSubmission,
        training: TrainingService,
        generation: GenerationService,
        images: ImageResolver,
    ) -> None:
        self._jobs = jobs
        self._submission = submission
        self._training = training
        self._generation = generation
        self._images = images

    async def retry(self, job_id: str, kind: Kind | None, request: Request, submitter: Submitter) -> Job:
        """Create a job of the same spec, or return the one that an earlier copy of the request created.

        What the spec refers to must still exist. Raises `UnfinishedJobError`, `AlreadyDeletingError`, what
        `JobService.get` raises, and what the services of both kinds raise for missing photos, pictures and models.
        """
        job = await self._jobs.get(job_id, kind)
        if job.deleting:
            raise AlreadyDeletingError(f"{job.key} is being deleted: submit its spec as a new job.")
        if not phase_of(job).is_terminal:
            message = _unfinished(job)
            raise UnfinishedJobError(message, (FieldError("id", message, job_id),))
        # Suspended again it would never run.
        spec: Spec = job.spec.model_copy(update={"suspend": False})
        name = new_task_id(job.kind)
        if submitter.idempotency_key is not None:
            # Keys have no blanks: no submission gets the name of a retry.
            name = task_id_for(job.kind, f"retry {job.uid} {submitter.idempotency_key}")
            earlier = await self._submission.find_earlier(name, spec)
            if earlier is not None:
                require_kept(earlier)
                return earlier
        with in_fields(job.kind):
            await self._require(spec, request)
        return await self._submission.create_or_find(name, spec, submitter.key_name, job.photos_sha256)

    async def _require(self, spec: Spec, request: Request) -> None:
        """Check that everything that the spec refers to exists, and the busy policy."""
        if isinstance(spec, TrainJobSpec):
            await self._training.require(spec, uploads_photos=False)
            return
        await self._generation.require(spec)
        sources = {role: Source(SourceKind.URI, each.uri) for role, each in images_of(spec).items()}
        with self._images.collect(sources, {}) as images:
            await unless_disconnected(request, self._images.resolve(images, spec.mask))
