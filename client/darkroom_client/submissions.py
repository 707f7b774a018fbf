"""Submissions: the specs and forms of trainings, generations and imports of LoRAs. Pure: files are only named.

A spec has the shape of the resource's, in camelCase. An `Idempotency-Key` is generated for each submission, so that a
retried one creates one job.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from darkroom_client.calls import Call, FormPart, new_key, parameters, prefer_wait, read_model
from darkroom_client.errors import InputError
from darkroom_client.models import Job, ModelDetail
from darkroom_client.photo_files import PhotoFile, check_name, check_readable, find_photos, is_text

Spec = Mapping[str, Any]
OnUpload = Callable[[int], None]
"""Called with the number of bytes that were just read for an upload; after a failed attempt with their negative sum."""

SUBMISSION_SECONDS = 120.0
"""The gateway decodes and stores the photos before it answers."""


def merged(*specs: Spec) -> dict[str, Any]:
    """The specs in one: later ones win, nested fields are merged. Fields that are None are left out."""
    found: dict[str, Any] = {}
    for spec in specs:
        for name, value in spec.items():
            if isinstance(value, Mapping):
                earlier = found.get(name)
                found[name] = merged(earlier if isinstance(earlier, Mapping) else {}, value)
            elif value is not None:
                found[name] = value
    return found


class SubmissionOptions(TypedDict, total=False):
    """Arguments that both kinds of submissions have."""

    priority: int | None
    spec: Spec | None
    """Any further fields of the resource's spec, in camelCase."""
    idempotency_key: str | None
    """Generated when left out."""
    wait_seconds: float
    """How long the answer may wait for the end of the job: up to 60."""
    on_upload: OnUpload | None


def training(
    photos: Iterable[Path | str] | Path | str,
    named: Mapping[str, Any],
    *,
    dataset_uri: str | None,
    options: SubmissionOptions,
) -> Call[Job]:
    """`named`: fields of the spec."""
    dataset = {"uri": dataset_uri} if dataset_uri is not None else None
    paths = (photos,) if isinstance(photos, Path | str) else tuple(photos)
    files = find_photos(paths).files if paths else ()
    return train(_spec({**named, "dataset": dataset}, options), files, **_sending(options))


def generation(
    named: Mapping[str, Any], images: Mapping[str, Path | str | None], options: SubmissionOptions
) -> Call[Job]:
    """`named`: fields of the spec. `images`: files by the name of their part."""
    files = {name: Path(path) for name, path in images.items() if path is not None}
    return generate(_spec(named, options), files, **_sending(options))


def _spec(named: Mapping[str, Any], options: SubmissionOptions) -> dict[str, Any]:
    return merged({**named, "priority": options.get("priority")}, options.get("spec") or {})


def _sending(options: SubmissionOptions) -> dict[str, Any]:
    return {"idempotency_key": options.get("idempotency_key"), "wait_seconds": options.get("wait_seconds", 0.0)}


def train(
    spec: Spec, photos: Sequence[PhotoFile], *, idempotency_key: str | None = None, wait_seconds: float = 0.0
) -> Call[Job]:
    """Photos are sent in a form; without them the spec names a dataset."""
    if photos and "dataset" in spec:
        raise InputError("Both photos and a dataset are given. Leave out one of them.")
    if not photos and "dataset" not in spec:
        raise InputError("There is nothing to train on. Give photos, or a dataset: {'uri': 's3://...'}.")
    files = [FormPart("files", each.path, name=each.name, content_type=each.content_type) for each in photos]
    return _submission("/v1/train-jobs", spec, files, idempotency_key, wait_seconds)


def generate(
    spec: Spec, images: Mapping[str, Path], *, idempotency_key: str | None = None, wait_seconds: float = 0.0
) -> Call[Job]:
    """`images`: files by the name of their part: image, mask, video_image."""
    files = [FormPart(field, _readable(path), name=path.name) for field, path in images.items()]
    return _submission("/v1/generate-jobs", spec, files, idempotency_key, wait_seconds)


def import_model(
    source: Path | str, *, model_id: str, base_model: str | None, prompt: str | None, replace: bool
) -> Call[ModelDetail]:
    """`source`: a safetensors file, or an `s3://` address. A repeated import of the same file changes nothing."""
    query = parameters(model_id=model_id, base_model=base_model, prompt=prompt, replace=replace or None)
    uri = source if isinstance(source, str) and source.startswith("s3://") else None
    if uri is not None:
        query |= {"uri": uri}
    path = Path(source)
    form = () if uri is not None else (FormPart("file", _readable(path), name=path.name),)
    read = read_model(ModelDetail)
    return Call("POST", "/v1/models", read, query, form=form, answer_seconds=SUBMISSION_SECONDS)


def _submission(path: str, spec: Spec, files: Sequence[FormPart], key: str | None, wait_seconds: float) -> Call[Job]:
    check_json(spec)
    headers = {"Idempotency-Key": key or new_key(), **prefer_wait(wait_seconds)}
    seconds = SUBMISSION_SECONDS + wait_seconds
    read = read_model(Job)
    if not files:
        return Call("POST", path, read, json=dict(spec), headers=headers, answer_seconds=seconds)
    text = json.dumps(dict(spec), ensure_ascii=False)
    form = (FormPart("spec", text=text, content_type="application/json"), *files)
    return Call("POST", path, read, form=form, headers=headers, answer_seconds=seconds)


def check_json(value: Any, path: str = "") -> None:
    """YAML and Python have values that JSON lacks, such as dates. Raises `InputError`, which names the field."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            if not isinstance(name, str):
                raise InputError(f"{name!r} is not the name of a field{f' of {path}' if path else ''}.")
            check_json(each, f"{path}.{name}" if path else name)
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            check_json(each, f"{path}[{number}]")
    elif isinstance(value, str):
        if not is_text(value):
            raise InputError(f"{path} is not text in UTF-8.")
    elif not (value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))):
        advice = "Use a finite number." if isinstance(value, float) else "Put a date or a word in quotes."
        raise InputError(f"{path} is {value}, which JSON does not have. {advice}")


def _readable(path: Path) -> Path:
    check_readable(path)
    check_name(path)
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty.")
    return path
