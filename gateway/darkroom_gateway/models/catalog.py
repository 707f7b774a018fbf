"""Catalog of the LoRAs that jobs can use: those in object storage, and those being trained."""

from collections.abc import Sequence

import anyio

from darkroom_contract.names import LABEL_MODEL_ID, Kind, model_of_reference, step_of_reference
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.storage.keys import model_prefix
from darkroom_gateway.backends.calls import Backends
from darkroom_gateway.backends.deadlines import CLUSTER_LIST_SECONDS, MODELS_SECONDS, STORAGE_SECONDS
from darkroom_gateway.errors import FieldError, StorageUnavailableError, UnknownModelError
from darkroom_gateway.jobs.serializers import phase_of
from darkroom_gateway.jobs.store import JobStore
from darkroom_gateway.kube.client import KubeClient
from darkroom_gateway.models.details import read_detail, read_step_detail
from darkroom_gateway.models.missing_models import MAX_NAMED, unknown_model, unknown_step
from darkroom_gateway.models.records import ModelRecords
from darkroom_gateway.models.schemas import ModelAnswer, ModelDetail
from darkroom_gateway.storage.client import ObjectStorage

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
        self._records = ModelRecords(storage, kube.namespace)

    async def list(self, limit: int) -> list[ModelAnswer]:
        """The first `limit` models, trained or imported, by name. Raises `StorageUnavailableError`."""
        with anyio.move_on_after(MODELS_SECONDS):
            names = await self._folders(limit)
            return [model for model in await self._models(names) if model is not None]
        raise StorageUnavailableError(
            f"Object storage did not list all models within {MODELS_SECONDS:g} s. Try again, or with a lower limit."
        )

    async def get(self, reference: str) -> ModelDetail:
        """One model with its files and saved steps, or one of these steps. Raises `UnknownModelError`, which names the
        steps that exist, `StorageUnavailableError`, and for an unknown step `ClusterUnavailableError`."""
        is_step = step_of_reference(reference) is not None
        if is_step:
            await self.require(reference)
        in_training = self._store.is_being_trained(model_of_reference(reference))

        def read() -> ModelDetail:
            read_any = read_step_detail if is_step else read_detail
            return read_any(self._storage, self._records, reference, in_training=in_training)

        return await self._backends.storage.call(MODELS_SECONDS, read)

    async def require(self, reference: str, parameter: str = "model_id") -> None:
        """Raises `UnknownModelError` unless the model exists or is being trained; a job that uses it waits in the
        queue. A saved step, such as `my-dog@200`, must exist: no job waits for it. `parameter` is named in the error.

        An unfinished training counts; once it has ended, its model is in storage or was deleted. The store may lag: a
        job that is accepted after its training has just failed will fail, and a training created with kubectl counts
        once the watch has delivered it.

        Raises `StorageUnavailableError` or `ClusterUnavailableError` when that can't be determined.
        """
        if await self._has(reference):
            return
        model_id, step = model_of_reference(reference), step_of_reference(reference)
        if step is not None:
            steps = await self._backends.storage.call(STORAGE_SECONDS, self._records.step_names, model_id)
            trainings = await self._trainings(model_id)
            if steps or trainings or await self._has(model_id):
                raise _unknown(unknown_step(model_id, step, steps, trainings), parameter, reference)
        elif await self.is_being_trained(model_id) or await self._has(model_id):
            return  # The record is read again: the training may have succeeded in the meantime.
        raise _unknown(unknown_model(model_id, await self._folders(MAX_NAMED)), parameter, reference)

    async def is_being_trained(self, model_id: str) -> bool:
        """Whether an unfinished training of the model exists. Raises `ClusterUnavailableError`."""
        if self._store.is_being_trained(model_id):
            return True
        return bool(await self._trainings(model_id))

    async def _trainings(self, model_id: str) -> Sequence[TrainJobSpec]:
        """The specs of the model's unfinished trainings. Raises `ClusterUnavailableError`."""
        stored = [self._store.read(each).spec for each in self._store.trainings_of(model_id)]
        found = [each for each in stored if isinstance(each, TrainJobSpec)]
        return found or await self._backends.cluster.call(CLUSTER_LIST_SECONDS, self._trainings_by_label, model_id)

    async def _has(self, reference: str) -> bool:
        return await self._backends.storage.call(STORAGE_SECONDS, self._records.has, reference)

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

    def _trainings_by_label(self, model_id: str) -> Sequence[TrainJobSpec]:
        """The unfinished trainings that another gateway has just created."""
        jobs = self._kube.list(Kind.TRAIN, {LABEL_MODEL_ID: model_id})
        specs = [job.spec for job in jobs if not phase_of(job).is_terminal]
        return [each for each in specs if isinstance(each, TrainJobSpec) and each.model_id == model_id]

    def _model(self, name: str) -> ModelAnswer | None:
        record = self._records.read(name)
        return None if record is None else ModelAnswer.model_validate(record)


def _unknown(message: str, parameter: str, reference: str) -> UnknownModelError:
    return UnknownModelError(message, (FieldError(parameter, message, reference),))
