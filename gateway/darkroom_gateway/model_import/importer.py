"""Imports LoRAs that were made elsewhere: `POST /v1/models`. Called by model_import/router.py.

The file is stored first, unchanged and under a random prefix, and the model's record last: a model never refers to a
file that is not there. After a failure before the record, the file is removed at once; if that fails too, or it is
unknown whether the record was written, deletion/import_collector.py decides later.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from weakref import WeakValueDictionary

import anyio
from starlette.requests import Request

from darkroom_contract.storage.keys import ModelRecord, lora_prefix, run_prefix
from darkroom_gateway.backends.calls import Backends
from darkroom_gateway.backends.deadlines import CLUSTER_LIST_SECONDS, MODELS_SECONDS, STORAGE_SECONDS, upload_seconds
from darkroom_gateway.deletion.job_deleter import JobDeleter
from darkroom_gateway.deletion.model_deleter import require_unused
from darkroom_gateway.errors import FieldError, GatewayError, ModelExistsError, ModelInUseError
from darkroom_gateway.jobs.task_ids import new_import_id
from darkroom_gateway.model_import.lora_source import LoraFile, LoraSource
from darkroom_gateway.model_import.parameters import MAX_PROMPT_CHARACTERS, ImportParameters
from darkroom_gateway.models.base_models import BaseModelChecker
from darkroom_gateway.models.catalog import ModelCatalog
from darkroom_gateway.models.records import ModelRecords
from darkroom_gateway.storage.client import ObjectStorage

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/octet-stream"
MAX_SOURCE_CHARACTERS = 512


class ModelImporter:
    """Imports LoRAs into one namespace."""

    def __init__(
        self,
        source: LoraSource,
        storage: ObjectStorage,
        backends: Backends,
        catalog: ModelCatalog,
        jobs: JobDeleter,
        base_models: BaseModelChecker,
        namespace: str,
        default_base_model: str,
    ) -> None:
        self._source = source
        self._storage = storage
        self._backends = backends
        self._catalog = catalog
        self._jobs = jobs
        self._base_models = base_models
        self._namespace = namespace
        self._default_base_model = default_base_model
        self._records = ModelRecords(storage, namespace)
        self._removals: set[asyncio.Task[None]] = set()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """By model id, while an import of it is being stored."""

    async def submit(self, asked: ImportParameters, request: Request) -> bool:
        """Import the LoRA of the request. False if the model was imported from the same file before, so that a request
        may be repeated.

        Raises what `LoraSource.open` raises; `ModelExistsError`, unless the model may be replaced; `ModelInUseError`
        while it is being trained, or used and to be replaced; `InvalidRequestError` for an unknown base model.
        """
        await self._base_models.require(asked.base_model)
        before = await self._replaced(asked)
        if not before.is_import:  # Of an import this may be a repetition, which changes nothing.
            await self._require_unused(asked.model_id, before)
        async with self._source.open(request, asked.uri) as lora, self._only_import_of(asked.model_id):
            return await self._import(asked, lora)

    async def _import(self, asked: ImportParameters, lora: LoraFile) -> bool:
        """False if the model was imported from the same file before."""
        # Again: while the file was received, a training or another import may have made the model.
        before = await self._replaced(asked)
        record = self._record(asked, lora, before)
        if before.is_import_of(record):
            return False
        if before.exists and not asked.replace:
            raise _exists(asked.model_id)
        await self._require_unused(asked.model_id, before)
        # Not cancellable: a gateway that stops here would leave a file without a record.
        with anyio.CancelScope(shield=True):
            await self._store(record, lora)
            await self._forget(before, asked.model_id)
        log.info("imported the model %s from %s", asked.model_id, lora.source)
        return True

    def _only_import_of(self, model_id: str) -> asyncio.Lock:
        """Of concurrent imports of one model, the later ones find it, unless they are at different gateways."""
        return self._locks.setdefault(model_id, asyncio.Lock())

    async def _replaced(self, asked: ImportParameters) -> "_Before":
        """What the import would replace. Raises `ModelExistsError`, or `ModelInUseError` while it is being trained."""
        model_id = asked.model_id
        if await self._catalog.is_being_trained(model_id):
            raise ModelInUseError(
                f"The model {model_id!r} is being trained, and the training would replace the import. Use another "
                "model_id, or wait until the training has ended."
            )
        before = await self._backends.storage.call(MODELS_SECONDS, self._before, model_id)
        if not before.exists:
            return before
        if not before.is_readable:
            raise _exists(model_id, "Its record can't be read: a newer release may have written it. Delete it first.")
        if not (asked.replace or before.is_import):
            raise _exists(model_id)
        return before

    async def _require_unused(self, model_id: str, before: "_Before") -> None:
        """Raises `ModelInUseError` while an unfinished job uses the model that is to be replaced."""
        if before.exists:
            jobs = await self._backends.cluster.call(CLUSTER_LIST_SECONDS, self._jobs.all)
            require_unused(model_id, jobs, self._storage.bucket, before.prefixes)

    def _before(self, model_id: str) -> "_Before":
        record, steps = self._records.read(model_id), self._records.step_names(model_id)
        saved = [self._records.read(f"{model_id}@{each}") for each in steps]
        is_readable = (record is not None or not self._records.has(model_id)) and None not in saved
        return _Before(record, tuple(steps), tuple(each for each in saved if each is not None), is_readable)

    def _record(self, asked: ImportParameters, lora: LoraFile, before: "_Before") -> ModelRecord:
        key = f"{lora_prefix(self._namespace, new_import_id())}{asked.model_id}.safetensors"
        return ModelRecord(
            model_id=asked.model_id,
            weights_key=key,
            sha256=lora.sha256,
            base_model=asked.base_model or self._default_base_model,
            prompt=(lora.trigger_phrase if asked.prompt is None else asked.prompt)[:MAX_PROMPT_CHARACTERS],
            source=lora.source[:MAX_SOURCE_CHARACTERS],
            created=datetime.now(UTC),
            earlier_runs=before.runs,
        )

    async def _store(self, record: ModelRecord, lora: LoraFile) -> None:
        """Store the file, then the record."""
        key = record.weights_key
        upload = await self._backends.uploads.begin(self._storage.put, key, lora.file, CONTENT_TYPE)
        try:
            await self._backends.uploads.result(upload_seconds(lora.size_bytes), upload)
        except GatewayError:
            removal = asyncio.create_task(self._remove(key, upload))
            self._removals.add(removal)
            removal.add_done_callback(self._removals.discard)
            raise
        await self._backends.storage.call(STORAGE_SECONDS, self._records.write, record)

    async def _remove(self, key: str, upload: "asyncio.Task[None]") -> None:
        """Remove a file once its upload has ended: an abandoned one may still store it."""
        await asyncio.wait({upload})
        try:
            await self._backends.storage.call(STORAGE_SECONDS, self._storage.delete, [key])
        except GatewayError as error:
            log.warning("left %s, which a sweep will remove: %s", key, error)

    async def _forget(self, before: "_Before", model_id: str) -> None:
        """Remove what the import has replaced: saved steps, which belong to a training, and an earlier import."""
        try:
            await self._backends.storage.call(STORAGE_SECONDS, self._forget_all, before, model_id)
        except GatewayError as error:
            log.warning("the earlier files of %s are not removed yet: %s", model_id, error)

    def _forget_all(self, before: "_Before", model_id: str) -> None:
        self._records.delete_steps(model_id, list(before.steps))
        earlier = None if before.record is None else self._records.import_of(before.record)
        if earlier is not None:
            self._storage.delete_below(lora_prefix(self._namespace, earlier))


@dataclass(frozen=True)
class _Before:
    """The model of that name before the import."""

    record: ModelRecord | None
    steps: tuple[str, ...]
    """Names of its saved steps."""
    saved: tuple[ModelRecord, ...]
    """Their records."""
    is_readable: bool
    """False if a record was written by a newer release. Only a deletion removes such a model."""

    @property
    def exists(self) -> bool:
        return self.record is not None or bool(self.steps) or not self.is_readable

    @property
    def is_import(self) -> bool:
        return self.record is not None and not self.record.job_uid

    @property
    def runs(self) -> tuple[str, ...]:
        """The jobs that trained it, whose files are deleted with the model."""
        records = [*self.saved, *([] if self.record is None else [self.record])]
        return tuple(dict.fromkeys(uid for each in records for uid in (*each.earlier_runs, each.job_uid) if uid))

    @property
    def prefixes(self) -> list[str]:
        """Prefixes of its files."""
        own = [] if self.record is None else [self.record.weights_key.rpartition("/")[0] + "/"]
        return [*map(run_prefix, self.runs), *own]

    def is_import_of(self, record: ModelRecord) -> bool:
        """Whether the model was imported from the same file with the same parameters."""
        old = self.record
        if old is None or old.job_uid:
            return False
        return (old.sha256, old.base_model, old.prompt) == (record.sha256, record.base_model, record.prompt)


def _exists(model_id: str, advice: str = "Add replace=true to replace it.") -> ModelExistsError:
    message = f"There is a model {model_id!r} already. Use another model_id. {advice}"
    return ModelExistsError(message, (FieldError("model_id", message, model_id),))
