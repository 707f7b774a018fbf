"""Submission of generations: checks and stores the pictures, then creates one GenerateJob.

Called by generation/router.py.
"""

from collections.abc import Iterable
from functools import partial

from starlette.requests import Request

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.storage.datasets import DatasetPolicy
from darkroom_contract.storage.keys import dataset_uri
from darkroom_gateway.errors import FieldError, invalid_request
from darkroom_gateway.generation.image_resolver import ImageResolver, RequestImages
from darkroom_gateway.generation.loras import PARAMETER
from darkroom_gateway.generation.parameters import GenerateParameters, generate_spec
from darkroom_gateway.generation.unused_parameters import reject_unused_parameters
from darkroom_gateway.jobs.busy_policy import BusyCheck
from darkroom_gateway.jobs.dependencies import Submitter
from darkroom_gateway.jobs.submission import JobSubmission, require_kept, require_same_photos, task_id
from darkroom_gateway.jobs.uploaded_files import NewJob, UploadedFiles
from darkroom_gateway.models.base_models import BaseModelChecker
from darkroom_gateway.models.catalog import ModelCatalog
from darkroom_gateway.photos.upload_validator import unless_disconnected


class GenerationService:
    """Submits generations."""

    def __init__(
        self,
        submission: JobSubmission,
        model_catalog: ModelCatalog,
        base_models: BaseModelChecker,
        busy: BusyCheck,
        policy: DatasetPolicy,
        images: ImageResolver,
        uploaded_files: UploadedFiles,
    ) -> None:
        self._submission = submission
        self._model_catalog = model_catalog
        self._base_models = base_models
        self._busy = busy
        self._policy = policy
        self._images = images
        self._uploaded_files = uploaded_files

    async def submit(self, parameters: GenerateParameters, request: Request, submitter: Submitter) -> Job:
        """Create the job, or return the one that an earlier copy of the request created.

        Raises `InvalidRequestError` for parameters without effect, for unknown base models and for files that jobs may
        not read, `InvalidImagesError` for unusable pictures, `UnknownTaskError`, `UnknownFileError` or
        `UnfinishedTaskError` for pictures of a task, `UnknownModelError` for a LoRA that neither exists nor is being
        trained, `KeyReusedError`, or `BusyError`.
        """
        async with self._images.open(parameters, request) as images:
            spec = generate_spec(parameters, images.placeholders)
            reject_unused_parameters(parameters, spec)
            name, sha256 = task_id(Kind.GENERATE, submitter.idempotency_key), await self._images.fingerprint(images)
            if submitter.idempotency_key is not None:
                earlier = await self._submission.find_earlier(name, spec)
                if earlier is not None:
                    require_kept(earlier)
                    if sha256 is not None:
                        require_same_photos(earlier, sha256)
                    return earlier
            await self._require(spec, submitter)
            spec = await self._with_images(parameters, spec, images, request)
            if not images.files:
                return await self._submission.create_or_find(name, spec, submitter.key_name, sha256)
            uses = partial(_reads_below, uri=dataset_uri(images.bucket, images.prefix))
            new = NewJob(name, spec, images.prefix, sha256 or "", submitter.key_name, uses)
            return await self._uploaded_files.store_and_create(new, images.files)

    async def _with_images(
        self, parameters: GenerateParameters, spec: GenerateJobSpec, images: RequestImages, request: Request
    ) -> GenerateJobSpec:
        """The spec with the URIs of its pictures, which are checked here."""
        if not images.sources:
            return spec
        inverted = spec.mask is not None and spec.mask.invert
        resolving = self._images.resolve(images, inverted_mask=inverted)
        return generate_spec(parameters, await unless_disconnected(request, resolving))

    async def _require(self, spec: GenerateJobSpec, submitter: Submitter) -> None:
        """Check what the spec refers to, besides pictures, the limits, and the busy policy."""
        await self._base_models.require(spec.base_model, spec.video.base_model)
        require_allowed(self._policy, self._submission.namespace, spec.lora_uris)
        for reference in spec.model_references:
            await self._model_catalog.require(reference, "lora" if spec.loras else "model_id")
        self._submission.require_capacity(submitter.key_name)
        await self._busy.require_free_slot()


def _reads_below(job: Job, uri: str) -> bool:
    """Whether the job reads pictures below a URI."""
    if not isinstance(job.spec, GenerateJobSpec):
        return False
    return any(source.uri.startswith(uri) for source in job.spec.image_sources.values())


def require_allowed(policy: DatasetPolicy, namespace: str, uris: Iterable[str]) -> None:
    """Raises `InvalidRequestError` for LoRA files that jobs of the namespace may not read."""
    faults = [(uri, fault) for uri in uris if (fault := policy.lora_fault(uri, namespace)) is not None]
    if faults:
        raise invalid_request(FieldError(PARAMETER, fault, uri) for uri, fault in faults)
