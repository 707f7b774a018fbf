"""One model, or one of its saved steps, with fresh links to its files. Synchronous; called in threads by
models/catalog.py."""

import math
import re
from collections.abc import Iterable, Mapping

from darkroom_contract.names import model_of_reference, step_of_reference
from darkroom_contract.storage.keys import LORA_FILE, ModelRecord, run_prefix, samples_prefix
from darkroom_gateway.errors import FieldError, UnknownModelError
from darkroom_gateway.models.missing_models import unknown_step, without_record
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
    pictures = _first_pictures(sizes)
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
        steps=[_step(storage, reference, each, sizes, pictures) for reference, each in steps.items()],
        samples=_samples(storage, newest, of_run),
    )


def read_step_detail(
    storage: ObjectStorage, records: ModelRecords, reference: str, *, in_training: bool
) -> ModelDetail:
    """A saved step, such as `my-dog@200`. Raises `UnknownModelError`, also for a record that can't be read."""
    model_id, name = model_of_reference(reference), step_of_reference(reference) or ""
    record = records.read(reference)
    if record is None:
        message = unknown_step(model_id, name, records.step_names(model_id), ())
        raise UnknownModelError(message, (FieldError("model_id", message, reference),))
    step = _step_number(reference, record)
    samples = storage.sizes(samples_prefix(record.job_uid)) if record.job_uid else {}
    of_step = {key: size for key, size in samples.items() if _step_of(key) == step}
    return ModelDetail(
        model_id=model_id,
        id=reference,
        in_training=in_training,
        prompt=record.prompt,
        base_model=record.base_model,
        base_model_commit=record.base_model_commit,
        sha256=record.sha256,
        source=record.source,
        step=step,
        held_out_loss=record.held_out_loss,
        created=record.created,
        files=_files(storage, record, storage.sizes(_folder(record))),
        steps=[],
        samples=[_sample(storage, key, of_step[key]) for key in sorted(of_step)[:MAX_SAMPLES]],
    )


def _step(
    storage: ObjectStorage,
    reference: str,
    record: ModelRecord,
    sizes: Sizes,
    pictures: Mapping[tuple[str, int | None], str],
) -> ModelStep:
    step = _step_number(reference, record)
    picture = pictures.get((samples_prefix(record.job_uid), step))
    return ModelStep(
        reference=reference,
        step=step,
        held_out_loss=record.held_out_loss,
        sha256=record.sha256,
        created=record.created,
        files=_files(storage, record, sizes),
        sample=None if picture is None else _sample(storage, picture, sizes[picture]),
    )


def _first_pictures(sizes: Sizes) -> dict[tuple[str, int | None], str]:
    """The key of the first picture of each training at each step."""
    found: dict[tuple[str, int | None], str] = {}
    for key in sorted(sizes):
        if (step := _step_of(key)) is not None:
            found.setdefault((key.rpartition("/")[0] + "/", step), key)
    return found


def _step_number(reference: str, record: ModelRecord) -> int | None:
    number = step_of_reference(reference) or ""
    return int(number) if number.isdecimal() else record.step


def _sizes(storage: ObjectStorage, steps: Iterable[ModelRecord]) -> dict[str, int]:
    """The sizes of all files and samples of saved steps: two listings for each training."""
    found: dict[str, int] = {}
    for uid in dict.fromkeys(each.job_uid for each in steps):
        found |= storage.sizes(f"{run_prefix(uid)}steps/", recursive=True) | storage.sizes(samples_prefix(uid))
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
