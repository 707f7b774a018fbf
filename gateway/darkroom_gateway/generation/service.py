"""Submission of generations: checks and stores the pictures, then creates one GenerateJob.

Called by generation/router.py.
"""

from collections.abc import Callable, Iterable
from functools import partial

from starlette.requests import Request

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.storage.datasets import DatasetPolicy
from darkroom_contract.storage.keys import dataset_uri
from darkroom_gateway.errors import FieldError, invalid_request
from darkroom_gateway.generation.image_resolver import ImageResolver, RequestImages
from darkroom_gateway.generation.image_sources import ImageRole, read_sources
from darkroom_gateway.generation.loras import PARAMETER
from darkroom_gateway.generation.parameters import GenerateParameters, ImageUris, generate_spec
from darkroom_gateway.generation.unused_parameters import reject_unused_parameters
from darkroom_gateway.jobs.busy_policy import BusyCheck
from darkroom_gateway.jobs.dependencies import Submitter
from darkroom_gateway.jobs.submission import JobSubmission, require_kept, require_same_photos, task_id
from darkroom_gateway.jobs.uploaded_files import NewJob, UploadedFiles
from darkroom_gateway.models.base_models import BaseModelChecker
from darkroom_gateway.models.catalog import ModelCatalog
from darkroom_gateway.photos.upload_form import Upload
from darkroom_gateway.photos.upload_validator import unless_disconnected

WithUris = Callable[[ImageUris], GenerateJobSpec]
"""Makes the spec with these pictures."""


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
        """Submit the generation of these parameters.

        Raises `InvalidRequestError` for parameters without effect, and what `submit_spec` raises.
        """
        async with self._images.open(parameters, request) as images:
            spec = generate_spec(parameters, images.placeholders)
            reject_unused_parameters(parameters, spec)
            return await self.submit_spec(spec, partial(generate_spec, parameters), images, request, submitter)

    async def submit_received(
        self, parameters: GenerateParameters, uploads: dict[ImageRole, Upload], request: Request, submitter: Submitter
    ) -> Job:
        """`submit` for pictures of a form that the caller has read. It holds an upload slot if there are any."""
        with self._images.collect(read_sources(parameters, uploads.keys()), uploads) as images:
            spec = generate_spec(parameters, images.placeholders)
            reject_unused_parameters(parameters, spec)
            return await self.submit_spec(spec, partial(generate_spec, parameters), images, request, submitter)

    async def submit_spec(
        self, spec: GenerateJobSpec, with_uris: WithUris, images: RequestImages, request: Request, submitter: Submitter
    ) -> Job:
        """Create the job, or return the one that an earlier copy of the request created. `spec` has placeholders for
        the URIs of its pictures, which `with_uris` replaces.

        Raises `InvalidRequestError` for unknown base models and for files that jobs may not read, `InvalidImagesError`
        for unusable pictures, `UnknownTaskError`, `UnknownFileError` or `UnfinishedTaskError` for pictures of a task,
        `UnknownModelError` for a LoRA that neither exists nor is being trained, `KeyReusedError`, or `BusyError`.
        """
        name, sha256 = task_id(Kind.GENERATE, submitter.idempotency_key), await self._images.fingerprint(images)
        if submitter.idempotency_key is not None:
            earlier = await self._submission.find_earlier(name, spec)
            if earlier is not None:
                require_kept(earlier)
                if sha256 is not None:
                    require_same_photos(earlier, sha256)
                return earlier
        await self.require(spec)
        await self._submission.require_capacity(submitter.key_name)
        if images.sources:
            spec = with_uris(await unless_disconnected(request, self._images.resolve(images, spec.mask)))
        if not images.files:
            return await self._submission.create_or_find(name, spec, submitter.key_name, sha256)
        uses = partial(_reads_below, uri=dataset_uri(images.bucket, images.prefix))
        new = NewJob(name, spec, images.prefix, sha256 or "", submitter.key_name, uses)
        return await self._uploaded_files.store_and_create(new, images.files)

    async def require(self, spec: GenerateJobSpec) -> None:
        """Check what the spec refers to, besides pictures, and the busy policy."""
        self._submission.require_webhook(spec)
        await self._base_models.require(spec.base_model, spec.video.base_model)
        require_allowed(self._policy, self._submission.namespace, spec.lora_uris)
        for reference in spec.model_references:
            await self._model_catalog.require(reference, "lora" if spec.loras else "model_id")
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
