"""Catalog of the LoRAs that jobs can use: those in object storage, and those being trained."""

import logging
from collections.abc import Sequence

import anyio
from pydantic import ValidationError

from darkroom_contract.names import LABEL_MODEL_ID, Kind
from darkroom_contract.storage.keys import ModelRecord, model_prefix, model_record_key
from darkroom_gateway.backends.calls import Backends
from darkroom_gateway.backends.deadlines import CLUSTER_LIST_SECONDS, MODELS_SECONDS, STORAGE_SECONDS
from darkroom_gateway.errors import FieldError, StorageUnavailableError, UnknownModelError
from darkroom_gateway.jobs.serializers import phase_of
from darkroom_gateway.jobs.store import JobStore
from darkroom_gateway.kube.client import KubeClient
from darkroom_gateway.models.schemas import ModelAnswer
from darkroom_gateway.storage.client import ObjectStorage

log = logging.getLogger(__name__)

MAX_NAMED = 20
"""Maximum number of models that an error message lists."""


READS_AT_ONCE = 4
"""Records that one listing reads concurrently: a share of the concurrent calls of all requests."""


class ModelCatalog:
    """The models of one namespace."""

    def __init__(self, kube: KubeClient, storage: ObjectStorage, backends: Backends, store: JobStore) -> None:
        self._kube = kube
        self._backends = backends
        self._store = store
        self._storage = storage
        self._namespace = kube.namespace

    async def list(self, limit: int) -> list[ModelAnswer]:
        """The first `limit` trained models, by name. Raises `StorageUnavailableError`."""
        with anyio.move_on_after(MODELS_SECONDS):
            names = await self._folders(limit)
            return [model for model in await self._models(names) if model is not None]
        raise StorageUnavailableError(
            f"Object storage did not list all models within {MODELS_SECONDS:g} s. Try again, or with a lower limit."
        )

    async def require(self, model_id: str) -> None:
        """Raises `UnknownModelError` unless the model exists or is being trained; a job that uses it waits in the
        queue.

        An unfinished training counts; once it has ended, its model is in storage or was deleted. The store may lag: a
        job that is accepted after its training has just failed will fail, and a training created with kubectl counts
        once the watch has delivered it.

        Raises `StorageUnavailableError` or `ClusterUnavailableError` when that can't be determined.
        """
        key = model_record_key(self._namespace, model_id)
        if await self._backends.storage.call(STORAGE_SECONDS, self._storage.read, key) is not None:
            return
        if self._store.is_being_trained(model_id):
            return
        if await self._backends.cluster.call(CLUSTER_LIST_SECONDS, self._is_in_training, model_id):
            return
        if await self._backends.storage.call(STORAGE_SECONDS, self._storage.read, key) is not None:
            return  # Its training has succeeded in the meantime.
        names = await self._folders(MAX_NAMED)
        known = f"Known models: {', '.join(names)}." if names else "There are no models yet."
        message = f"There is no model {model_id!r}. Train it with POST /train, or use one of GET /models. {known}"
        raise UnknownModelError(message, (FieldError("model_id", message, model_id),))

    async def _folders(self, limit: int) -> Sequence[str]:
        prefix = model_prefix(self._namespace)
        return await self._backends.storage.call(STORAGE_SECONDS, self._storage.list_folders, prefix, limit)

    async def _models(self, names: Sequence[str]) -> Sequence[ModelAnswer | None]:
        """The records in the order of the names. Raises the first error."""
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

    def _is_in_training(self, model_id: str) -> bool:
        """Whether another gateway has just created a training of that model, found by its label."""
        jobs = self._kube.list(Kind.TRAIN, {LABEL_MODEL_ID: model_id})
        return any(job.spec.model_id == model_id and not phase_of(job).is_terminal for job in jobs)

    def _model(self, name: str) -> ModelAnswer | None:
        body = self._storage.read(model_record_key(self._namespace, name))
        if body is None:
            return None
        try:
            record = ModelRecord.model_validate_json(body)
        except ValidationError as error:
            log.warning("skipped the model %s, whose record can't be read: %s", name, error)
            return None
        return ModelAnswer.model_validate(record)
