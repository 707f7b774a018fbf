"""LoRAs in object storage: the record of each model id, and the weights that it refers to; and files by their URI.

The train task writes records; generations, and trainings that continue from a LoRA, read them. Key layout:
`darkroom_contract.storage.keys`.
"""

import hashlib
import logging
import re
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import ValidationError

from darkroom_contract.names import MODEL_ID_PATTERN, MODEL_REFERENCE_PATTERN
from darkroom_contract.specs.lora import LoraSource
from darkroom_contract.storage.datasets import DatasetPolicy
from darkroom_contract.storage.keys import (
    BEST,
    ModelRecord,
    lora_prefix,
    model_record_key,
    model_reference_key,
    model_steps_prefix,
    parse_uri,
    run_prefix,
)
from darkroom_runner.errors import DatasetNotAllowedError, InvalidRunError, ModelIncompatibleError, ModelNotFoundError
from darkroom_runner.models.lora_header import read_lora_header
from darkroom_runner.run.storage import (
    NoSuchBucketError,
    NoSuchObjectError,
    ObjectTooLargeError,
    Storage,
    sha256_of,
)

log = logging.getLogger(__name__)

MAX_LORA_BYTES = 8 * 1024**3
"""Limit of a LoRA file by URI: more than SDXL itself has in half precision."""
_MAX_NAMED_STEPS = 20
_WAITS_SECONDS = (1.0, 2.0, 4.0)
"""Between two tries to read the best LoRA of a training that runs."""


@dataclass(frozen=True)
class FetchedLora:
    """A LoRA file that was downloaded and verified."""

    source: LoraSource
    path: Path
    sha256: str
    record: ModelRecord | None
    """None for a file by URI."""
    metadata: dict[str, str] = field(default_factory=dict)
    """What the file's header says about it: from its trainer, or from anyone who changed it."""

    @property
    def name(self) -> str:
        """How messages and metadata call it: the reference or the URI in the job."""
        return self.source.name


def fetch_lora_source(
    storage: Storage, namespace: str, source: LoraSource, policy: DatasetPolicy, folder: Path
) -> FetchedLora:
    """Download the LoRA that a job refers to, under a file name of its own in `folder`, and check its header.

    Raises `DatasetNotAllowedError` for a URI that the namespace may not read, `ModelNotFoundError`, and
    `ModelIncompatibleError` for changed weights, a file that is too large, and one that is no LoRA for SDXL or of
    which a part would be dropped.
    """
    if source.is_ambiguous:
        raise InvalidRunError("A LoRA needs exactly one of modelId and uri.")
    if source.model_id is not None:
        fetched = _fetch_model(storage, namespace, source, folder)
    else:
        fetched = _fetch_file(storage, namespace, source, policy, folder)
    header, _ = read_lora_header(fetched.path, fetched.name)
    return replace(fetched, metadata=header.metadata)


def _fetch_model(storage: Storage, namespace: str, source: LoraSource, folder: Path) -> FetchedLora:
    """The LoRA of a record. A training that runs may be replacing its best one: the weights first, then the record."""
    for wait_seconds in _WAITS_SECONDS if source.name.endswith(f"@{BEST}") else ():
        try:
            return fetch_lora(storage, read_record(storage, namespace, source.name), folder, source)
        except ModelIncompatibleError as error:
            log.info("trying again in %g s, since the best LoRA may be just being replaced: %s", wait_seconds, error)
            time.sleep(wait_seconds)
    return fetch_lora(storage, read_record(storage, namespace, source.name), folder, source)


def _fetch_file(
    storage: Storage, namespace: str, source: LoraSource, policy: DatasetPolicy, folder: Path
) -> FetchedLora:
    uri = source.name
    if (fault := policy.lora_fault(uri, namespace)) is not None:
        raise DatasetNotAllowedError(fault)
    bucket, prefix = parse_uri(uri)
    path = folder / _file_name(source)
    try:
        storage.download(bucket, prefix.removesuffix("/"), path, MAX_LORA_BYTES)
    except (NoSuchObjectError, NoSuchBucketError) as error:
        raise ModelNotFoundError(f"There is no LoRA {uri}. Correct uri, or store the file there.") from error
    except ObjectTooLargeError as error:
        raise ModelIncompatibleError(f"{error}, more than the limit of {MAX_LORA_BYTES} for a LoRA.") from error
    return FetchedLora(source, path, sha256_of(path), None)


def read_record(storage: Storage, namespace: str, model_id: str) -> ModelRecord:
    """The current record of a model id, or of one of its saved steps (`my-dog@200`).

    Raises `ModelNotFoundError`, and `ModelIncompatibleError` for a record that can't be read, or whose weights are not
    where the runner and the gateway store them: a forged one could give away a file of another namespace.
    """
    check_model_reference(model_id)
    content = storage.read(model_reference_key(namespace, model_id))
    if content is None:
        raise _not_found(storage, namespace, model_id)
    try:
        record = ModelRecord.model_validate_json(content)
    except ValidationError as error:
        raise ModelIncompatibleError(f"The record of model {model_id!r} can't be read. Train it again.") from error
    folder = run_prefix(record.job_uid) if record.job_uid else lora_prefix(namespace)
    if not record.weights_key.startswith(folder) or ".." in record.weights_key.split("/"):
        raise ModelIncompatibleError(
            f"The record of model {model_id!r} refers to {record.weights_key}, which is not below {folder}: it was "
            f"changed. {_AGAIN[record.job_uid == '']}"
        )
    return record


def _not_found(storage: Storage, namespace: str, reference: str) -> ModelNotFoundError:
    model_id, _, step = reference.partition("@")
    if not step:
        return ModelNotFoundError(
            f"There is no model {model_id!r} in namespace {namespace!r}. Train it with a TrainJob that has this "
            "modelId, wait until that job has succeeded, import it, or correct modelId."
        )
    saved = storage.list_folder(storage.bucket, model_steps_prefix(namespace, model_id))
    steps = sorted((each.name.removesuffix(".json") for each in saved), key=lambda name: (len(name), name))
    if not steps:
        return ModelNotFoundError(
            f"There is no model {reference!r} in namespace {namespace!r}: {model_id!r} has no saved steps. Use "
            f"{model_id!r}, or train it with training.saveSteps or, for @best, training.heldOutPhotos."
        )
    listed = ", ".join(steps[-_MAX_NAMED_STEPS:])
    return ModelNotFoundError(
        f"There is no model {reference!r} in namespace {namespace!r}. The saved steps of {model_id!r} are {listed}."
    )


def fetch_lora(storage: Storage, record: ModelRecord, folder: Path, source: LoraSource | None = None) -> FetchedLora:
    """Download a record's weights and verify their SHA-256. `source` is how the job refers to it.

    Raises `ModelNotFoundError` if they are gone, and `ModelIncompatibleError` if they were changed.
    """
    source = source or LoraSource(model_id=record.model_id)
    path = folder / _file_name(source)
    try:
        storage.download(storage.bucket, record.weights_key, path)
    except NoSuchObjectError as error:
        raise ModelNotFoundError(
            f"The weights of model {record.model_id!r} were deleted from storage ({record.weights_key}). "
            f"{_AGAIN[record.job_uid == '']}"
        ) from error
    if sha256_of(path) != record.sha256:
        raise ModelIncompatibleError(
            f"The weights of model {record.model_id!r} were changed after they were stored: the SHA-256 of "
            f"{record.weights_key} differs from the model's record. {_AGAIN[record.job_uid == '']}"
        )
    return FetchedLora(source, path, record.sha256, record)


_AGAIN = {False: "Train it again.", True: "Import it again."}
"""What to do about lost weights of a trained model and of an imported one."""


def _file_name(source: LoraSource) -> str:
    """Several LoRAs of a run, and a LoRA that it writes, share a folder."""
    return f"lora-{hashlib.sha256(source.name.encode()).hexdigest()[:16]}.safetensors"


def write_record(storage: Storage, namespace: str, record: ModelRecord) -> None:
    """Replace the record of its model id, keeping the uids of earlier trainings: deleting the model deletes theirs."""
    check_model_id(record.model_id)
    key = model_record_key(namespace, record.model_id)
    record = record.model_copy(update={"earlier_runs": _earlier_runs(storage.read(key), record.job_uid)})
    storage.write(key, record.model_dump_json(by_alias=True).encode(), "application/json")
    log.info("model %s now refers to the weights of job %s", record.model_id, record.job_uid)


def _earlier_runs(content: bytes | None, job_uid: str) -> tuple[str, ...]:
    """The job uids of the replaced record, without duplicates; empty for an unreadable record."""
    try:
        before = None if content is None else ModelRecord.model_validate_json(content)
    except ValidationError:
        before = None
    uids = () if before is None else (*before.earlier_runs, before.job_uid)
    return tuple(dict.fromkeys(uid for uid in uids if uid != job_uid))


def check_model_reference(reference: str) -> None:
    """Like `check_model_id`, for a model id with or without a saved step."""
    if not re.fullmatch(MODEL_REFERENCE_PATTERN, reference):
        raise InvalidRunError(f"{reference!r} is not a valid model id. Correct modelId.")


def check_model_id(model_id: str) -> None:
    """Validate before use in a key: `$` in the contract's pattern would accept a trailing newline."""
    if not re.fullmatch(MODEL_ID_PATTERN, model_id):
        raise InvalidRunError(f"{model_id!r} is not a valid model id. Correct modelId.")
