"""Taking a generation: one GenerateJob is created. Called by endpoints/generate.py."""

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_gateway.base_models import BaseModels
from darkroom_gateway.busy import Busy
from darkroom_gateway.ignored_parameters import refuse_ignored_parameters
from darkroom_gateway.known_models import KnownModels
from darkroom_gateway.parameters import GenerateParameters, generate_spec
from darkroom_gateway.submission import Submission, require_kept, task_id


class Generation:
    """Takes generations."""

    def __init__(self, submission: Submission, known_models: KnownModels, base_models: BaseModels, busy: Busy) -> None:
        self._submission = submission
        self._known_models = known_models
        self._base_models = base_models
        self._busy = busy

    async def submit(self, parameters: GenerateParameters, idempotency_key: str | None, key_name: str | None) -> Job:
        """Create the job, or find the one that an earlier copy of the request made.

        Raises `InvalidRequestError` for parameters that do nothing and base models that are not there,
        `UnknownModelError` for a LoRA that is neither there nor in the making, or `BusyError`.
        """
        spec = generate_spec(parameters)
        refuse_ignored_parameters(parameters, spec)
        name = task_id(Kind.GENERATE, idempotency_key)
        if idempotency_key is not None:
            earlier = await self._submission.find_earlier(name, spec)
            if earlier is not None:
                require_kept(earlier)
                return earlier
        await self._base_models.require(spec.base_model, spec.video.base_model)
        if spec.model_id is not None:
            await self._known_models.require(spec.model_id)
        await self._busy.require_room()
        return await self._submission.create_or_find(name, spec, key_name)
