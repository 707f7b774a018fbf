"""Taking a generation: one GenerateJob is created. Called by generation/router.py."""

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_gateway.generation.unused_parameters import reject_unused_parameters
from darkroom_gateway.jobs.busy_policy import BusyCheck
from darkroom_gateway.jobs.parameters import GenerateParameters, generate_spec
from darkroom_gateway.jobs.submission import JobSubmission, require_kept, task_id
from darkroom_gateway.models.base_models import BaseModelChecker
from darkroom_gateway.models.catalog import ModelCatalog


class GenerationService:
    """Takes generations."""

    def __init__(
        self, submission: JobSubmission, model_catalog: ModelCatalog, base_models: BaseModelChecker, busy: BusyCheck
    ) -> None:
        self._submission = submission
        self._known_models = model_catalog
        self._base_models = base_models
        self._busy = busy

    async def submit(self, parameters: GenerateParameters, idempotency_key: str | None, key_name: str | None) -> Job:
        """Create the job, or find the one that an earlier copy of the request made.

        Raises `InvalidRequestError` for parameters that do nothing and base models that are not there,
        `UnknownModelError` for a LoRA that is neither there nor in the making, or `BusyError`.
        """
        spec = generate_spec(parameters)
        reject_unused_parameters(parameters, spec)
        name = task_id(Kind.GENERATE, idempotency_key)
        if idempotency_key is not None:
            earlier = await self._submission.find_earlier(name, spec)
            if earlier is not None:
                require_kept(earlier)
                return earlier
        await self._base_models.require(spec.base_model, spec.video.base_model)
        if spec.model_id is not None:
            await self._known_models.require(spec.model_id)
        await self._busy.require_free_slot()
        return await self._submission.create_or_find(name, spec, key_name)
