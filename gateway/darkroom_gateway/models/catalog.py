"""The LoRAs that can be used: those that object storage knows, and those in the making. Called by two services."""

import logging
from collections.abc import Sequence

import anyio
from pydantic import ValidationError

from darkroom_contract.names import LABEL_MODEL_ID, Kind
from darkroom_contract.storage import ModelRecord, model_prefix, model_record_key
from darkroom_gateway.backends.calls import Backends
from darkroom_gateway.backends.deadlines import CLUSTER_LIST_SECONDS, MODELS_SECONDS, STORAGE_SECONDS
from darkroom_gateway.errors import FieldError, StorageUnavailableError, UnknownModelError
from darkroom_gateway.jobs.schemas import ModelAnswer
from darkroom_gateway.jobs.serializers import phase_of
from darkroom_gateway.jobs.store import JobStore
from darkroom_gateway.kube.client import KubeClient
from darkroom_gateway.storage.client import ObjectStorage

log = logging.getLogger(__name__)

MAX_NAMED = 20
"""Models that an error message lists."""


READS_AT_ONCE = 4
"""Records that one listing reads at the same time: a share of the calls that all requests have."""


class ModelCatalog:
    """The models of one namespace."""

    def __init__(self, cluster: KubeClient, storage: ObjectStorage, backends: Backends, store: JobStore) -> None:
        self._cluster = cluster
        self._backends = backends
        self._store = store
        self._storage = storage
        self._namespace = cluster.namespace

    async def list(self, limit: int) -> list[ModelAnswer]:
        """The first `limit` finished models, by name. Raises `StorageUnavailableError`."""
        with anyio.move_on_after(MODELS_SECONDS):
            names = await self._folders(limit)
            return [model for model in await self._models(names) if model is not None]
        raise StorageUnavailableError(
            f"Object storage did not list all models within {MODELS_SECONDS:g} s. Try again, or with a lower limit."
        )

    async def require(self, model_id: str) -> None:
        """Raises `UnknownModelError` unless the model is there or being made: a job that uses it waits its turn.

        A training counts until it has ended: then its model is in storage, or was deleted. The store may be behind: a
        training that has failed meanwhile lets a job in that will fail for it, as if it had failed a moment later, and
        one from YAML counts as soon as the watch has brought it.

        Raises `StorageUnavailableError` or `ClusterUnavailableError` when that is unknown.
        """
        key = model_record_key(self._namespace, model_id)
        if await self._backends.storage.call(STORAGE_SECONDS, self._storage.read, key) is not None:
            return
        if self._store.is_being_trained(model_id):
            return
        if await self._backends.cluster.call(CLUSTER_LIST_SECONDS, self._is_in_the_making, model_id):
            return
        if await self._backends.storage.call(STORAGE_SECONDS, self._storage.read, key) is not None:
            return  # Its training has ended in between.
        names = await self._folders(MAX_NAMED)
        known = f"Known models: {', '.join(names)}." if names else "No model is known yet."
        message = f"Train {model_id!r} first with POST /train, or use one that GET /models lists. {known}"
        raise UnknownModelError(message, (FieldError("model_id", message, model_id),))

    async def _folders(self, limit: int) -> Sequence[str]:
        prefix = model_prefix(self._namespace)
        return await self._backends.storage.call(STORAGE_SECONDS, self._storage.list_folders, prefix, limit)

    async def _models(self, names: Sequence[str]) -> Sequence[ModelAnswer | None]:
        """In the order of the names. Ends with the first error."""
        found: dict[str, ModelAnswer | None] = {}
        errors: list[StorageUnavailableError] = []
        left = iter(names)

        async def read_some() -> None:
            for name in left:
                if errors:
                    return
                try:
                    found[name] = await self._backends.storage.call(STORAGE_SECONDS, self._model, name)
                except StorageUnavailableError as error:
                    errors.append(error)

        async with anyio.create_task_group() as group:
            for _ in range(READS_AT_ONCE):
                group.start_soon(read_some)
        if errors:
            raise errors[0]
        return [found[name] for name in names]

    def _is_in_the_making(self, model_id: str) -> bool:
        """Whether another gateway has just taken a training of that model: by the label that gateways give."""
        jobs = self._cluster.list(Kind.TRAIN, {LABEL_MODEL_ID: model_id})
        return any(job.spec.model_id == model_id and not phase_of(job).is_terminal for job in jobs)

    def _model(self, name: str) -> ModelAnswer | None:
        body = self._storage.read(model_record_key(self._namespace, name))
        if body is None:
            return None
        try:
            record = ModelRecord.model_validate_json(body)
        except ValidationError as error:
            log.warning("left out the model %s, whose record can't be read: %s", name, error)
            return None
        return ModelAnswer(
            model_id=record.model_id,
            prompt=record.prompt,
            base_model=record.base_model,
            base_model_commit=record.base_model_commit,
            sha256=record.sha256,
            created=record.created,
        )
