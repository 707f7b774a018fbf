"""Taking a generation: one GenerateJob is created. Called by endpoints/generate.py, in worker threads."""

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_gateway.busy import Busy
from darkroom_gateway.cluster import Cluster
from darkroom_gateway.known_models import KnownModels
from darkroom_gateway.parameters import GenerateParameters, generate_spec
from darkroom_gateway.submission import create_or_find, find_earlier, task_id


class Generation:
    """Takes generations."""

    def __init__(self, cluster: Cluster, known_models: KnownModels, busy: Busy) -> None:
        self._cluster = cluster
        self._known_models = known_models
        self._busy = busy

    def submit(self, parameters: GenerateParameters, idempotency_key: str | None) -> Job:
        """Raises `UnknownModelError` for a LoRA that is neither there nor in the making, or `BusyError`."""
        spec = generate_spec(parameters)
        name = task_id(Kind.GENERATE, idempotency_key)
        if idempotency_key is not None:
            earlier = find_earlier(self._cluster, name, spec)
            if earlier is not None:
                return earlier
        if spec.model_id is not None:
            self._known_models.require(spec.model_id)
        self._busy.require_room()
        return create_or_find(self._cluster, name, spec)
