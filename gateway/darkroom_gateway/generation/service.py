"""Submission of generations: creates one GenerateJob. Called by generation/router.py."""

from collections.abc import Iterable

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.storage.datasets import DatasetPolicy
from darkroom_gateway.errors import FieldError, invalid_request
from darkroom_gateway.generation.loras import PARAMETER
from darkroom_gateway.generation.parameters import GenerateParameters, generate_spec
from darkroom_gateway.generation.unused_parameters import reject_unused_parameters
from darkroom_gateway.jobs.busy_policy import BusyCheck
from darkroom_gateway.jobs.dependencies import Submitter
from darkroom_gateway.jobs.submission import JobSubmission, require_kept, task_id
from darkroom_gateway.models.base_models import BaseModelChecker
from darkroom_gateway.models.catalog import ModelCatalog


class GenerationService:
    """Submits generations."""

    def __init__(
        self,
        submission: JobSubmission,
        model_catalog: ModelCatalog,
        base_models: BaseModelChecker,
        busy: BusyCheck,
        policy: DatasetPolicy,
    ) -> None:
        self._submission = submission
        self._model_catalog = model_catalog
        self._base_models = base_models
        self._busy = busy
        self._policy = policy

    async def submit(self, parameters: GenerateParameters, submitter: Submitter) -> Job:
        """Create the job, or return the one that an earlier copy of the request created.

        Raises `InvalidRequestError` for parameters without effect, for unknown base models and for LoRA files that jobs
        may not read, `UnknownModelError` for a LoRA that neither exists nor is being trained, `KeyReusedError`, or
        `BusyError`.
        """
        spec = generate_spec(parameters)
        reject_unused_parameters(parameters, spec)
        name = task_id(Kind.GENERATE, submitter.idempotency_key)
        if submitter.idempotency_key is not None:
            earlier = await self._submission.find_earlier(name, spec)
            if earlier is not None:
                require_kept(earlier)
                return earlier
        await self._base_models.require(spec.base_model, spec.video.base_model)
        require_allowed(self._policy, self._submission.namespace, spec.lora_uris)
        for reference in spec.model_references:
            await self._model_catalog.require(reference, "lora" if spec.loras else "model_id")
        await self._busy.require_free_slot()
        return await self._submission.create_or_find(name, spec, submitter.key_name)


def require_allowed(policy: DatasetPolicy, namespace: str, uris: Iterable[str]) -> None:
    """Raises `InvalidRequestError` for LoRA files that jobs of the namespace may not read."""
    faults = [(uri, fault) for uri in uris if (fault := policy.lora_fault(uri, namespace)) is not None]
    if faults:
        raise invalid_request(FieldError(PARAMETER, fault, uri) for uri, fault in faults)
