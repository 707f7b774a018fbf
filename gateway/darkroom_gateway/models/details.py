"""One model with its saved steps and fresh links to its files. Synchronous; called in threads by models/catalog.py."""

import math
import re
from collections.abc import Iterable, Mapping

from darkroom_contract.names import step_of_reference
from darkroom_contract.storage.keys import LORA_FILE, ModelRecord, run_prefix, samples_prefix
from darkroom_gateway.errors import FieldError, UnknownModelError
from darkroom_gateway.models.missing_models import without_record
from darkroom_gateway.models.records import ModelRecords, lora_forms
from darkroom_gateway.models.schemas import FileForm, ModelDetail, ModelFile, ModelSample, ModelStep
from darkroom_gateway.storage.client import ObjectStorage

CONTENT_TYPE = "application/octet-stream"

PICTURE = ".png"
MAX_SAMPLES = 100
_STEP = re.compile(r"-step-([0-9]+)-[0-9]+[.]png$")
"""As `sample_file` of storage/keys.py names them."""

Sizes = Mapping[str, int]
"""Sizes of objects by key."""


def read_detail(storage: ObjectStorage, records: ModelRecords, model_id: str, *, in_training: bool) -> ModelDetail:
    """Raises `UnknownModelError` for a model without a record and without saved steps."""
    record = records.read(model_id)
    found = [(name, records.read(f"{model_id}@{name}")) for name in records.step_names(model_id)]
    steps = {f"{model_id}@{name}": each for name, each in found if each is not None}
    newest = record or max(steps.values(), key=lambda each: each.created, default=None)
    if newest is None:
        message = without_record(model_id, in_training=in_training)
        raise UnknownModelError(message, (FieldError("model_id", message, model_id),))
    sizes = _sizes(storage, steps.values())
    of_run = {} if record is None else storage.sizes(_folder(record))
    return ModelDetail(
        model_id=model_id,
        id=model_id,
        in_training=in_training,
        prompt=newest.prompt,
        base_model=newest.base_model,
        base_model_commit=newest.base_model_commit,
        sha256=None if record is None else record.sha256,
        source=newest.source,
        step=None if record is None else record.step,
        held_out_loss=None if record is None else record.held_out_loss,
        created=newest.created,
        files=[] if record is None else _files(storage, record, of_run),
        steps=[_step(storage, reference, each, sizes) for reference, each in steps.items()],
        samples=_samples(storage, newest, of_run),
    )


def _step(storage: ObjectStorage, reference: str, record: ModelRecord, sizes: Sizes) -> ModelStep:
    number = step_of_reference(reference) or ""
    return ModelStep(
        reference=reference,
        step=int(number) if number.isdecimal() else record.step,
        held_out_loss=record.held_out_loss,
        sha256=record.sha256,
        created=record.created,
        files=_files(storage, record, sizes),
    )


def _sizes(storage: ObjectStorage, steps: Iterable[ModelRecord]) -> dict[str, int]:
    """The sizes of all files of saved steps: one listing for each training."""
    found: dict[str, int] = {}
    for uid in dict.fromkeys(each.job_uid for each in steps):
        found |= storage.sizes(f"{run_prefix(uid)}steps/", recursive=True)
    return found


def _samples(storage: ObjectStorage, record: ModelRecord, of_run: Sizes) -> list[ModelSample]:
    """Pictures of the training, in the order of their steps, those of the finished model last."""
    if not record.job_uid:
        return []
    pictures = {key: size for key, size in of_run.items() if key.endswith(PICTURE)}
    found = storage.sizes(samples_prefix(record.job_uid)) | pictures
    return [_sample(storage, key, found[key]) for key in sorted(found, key=_step_and_name)[-MAX_SAMPLES:]]


def _step_and_name(key: str) -> tuple[float, str]:
    step = _step_of(key)
    return (math.inf if step is None else step, key)


def _step_of(key: str) -> int | None:
    found = _STEP.search(key)
    return None if found is None else int(found[1])


def _sample(storage: ObjectStorage, key: str, size_bytes: int) -> ModelSample:
    link = storage.link(key, "image/png")
    name = key.rpartition("/")[2]
    return ModelSample(name=name, step=_step_of(key), url=link.url, expires=link.expires, bytes=size_bytes)


def _folder(record: ModelRecord) -> str:
    return record.weights_key.rpartition("/")[0] + "/"


def _files(storage: ObjectStorage, record: ModelRecord, sizes: Sizes) -> list[ModelFile]:
    """The forms of the LoRA that exist."""
    return [_file(storage, key, sizes[key], record) for key in lora_forms(record) if key in sizes]


def _file(storage: ObjectStorage, key: str, size_bytes: int, record: ModelRecord) -> ModelFile:
    link, name = storage.link(key, CONTENT_TYPE), key.rpartition("/")[2]
    form = FileForm.DIFFUSERS if name == LORA_FILE else FileForm.KOHYA
    return ModelFile(
        name=name,
        form=form if record.job_uid else FileForm.IMPORTED,
        url=link.url,
        expires=link.expires,
        bytes=size_bytes,
    )
