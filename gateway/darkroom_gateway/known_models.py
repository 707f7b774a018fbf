"""The LoRAs that can be used: those that object storage knows, and those in the making. Called by two services."""

import logging

from pydantic import ValidationError

from darkroom_contract.names import Kind
from darkroom_contract.status import Phase
from darkroom_contract.storage import ModelRecord, model_prefix, model_record_key
from darkroom_gateway.answers import ModelAnswer
from darkroom_gateway.cluster import Cluster
from darkroom_gateway.errors import Complaint, UnknownModelError
from darkroom_gateway.storage import Storage

log = logging.getLogger(__name__)

MAX_NAMED = 20
"""Models that an error message lists."""


class KnownModels:
    """The models of one namespace."""

    def __init__(self, cluster: Cluster, storage: Storage) -> None:
        self._cluster = cluster
        self._storage = storage
        self._namespace = cluster.namespace

    def list(self, limit: int) -> list[ModelAnswer]:
        """The first `limit` finished models, by name."""
        names = self._storage.list_folders(model_prefix(self._namespace), limit)
        return [model for name in names if (model := self._model(name)) is not None]

    def require(self, model_id: str) -> None:
        """Raises `UnknownModelError` unless the model is there or being made: a job that uses it waits its turn."""
        key = model_record_key(self._namespace, model_id)
        if self._storage.read(key) is not None or self._is_in_the_making(model_id):
            return
        names = self._storage.list_folders(model_prefix(self._namespace), MAX_NAMED)
        known = f"Known models: {', '.join(names)}." if names else "No model is known yet."
        message = f"Train {model_id!r} first with POST /train, or use one that GET /models lists. {known}"
        raise UnknownModelError(message, (Complaint("model_id", message, model_id),))

    def _is_in_the_making(self, model_id: str) -> bool:
        """A training counts as long as it has not failed; one that succeeded may be about to be seen in storage."""
        jobs = self._cluster.list(Kind.TRAIN)
        return any(job.spec.model_id == model_id and job.status.phase is not Phase.FAILED for job in jobs)

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
