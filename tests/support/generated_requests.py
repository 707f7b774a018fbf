"""Hooks of Schemathesis, loaded by its own process: real photos, real task ids, and parameters that agree.

`DARKROOM_TEST_PHOTOS` is a folder of photos, `DARKROOM_TEST_IDS` JSON: for `task_id`, `id`, `model_id`, `lora` and
`uri` what exists, under `POST`, `PATCH` and `DELETE` what may be changed and deleted, under `FILES` the parameters of
an existing file or job by path, and under `DATASET` a folder of photos. Everything else is generated from the OpenAPI
description.
"""

import itertools
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import strategies
from schemathesis.core import NOT_SET
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation import GenerationMode
from schemathesis.generation.meta import TestPhase
from schemathesis.openapi.checks import RejectedPositiveData

PHOTOS = [path.read_bytes() for path in sorted(Path(os.environ["DARKROOM_TEST_PHOTOS"]).iterdir())]
# A value that was generated comes through as it is now and then.
_REAL = json.loads(os.environ["DARKROOM_TEST_IDS"])
DATASET = {"uri": _REAL.pop("DATASET")}
FILES = {path: itertools.cycle([file, {}]) for path, file in _REAL.pop("FILES").items()}
IDS: dict[str, dict[str, Iterator[Any]]] = {
    use: {parameter: itertools.cycle([*ids, None]) for parameter, ids in of_use.items()}
    for use, of_use in _REAL.items()
}
KEYS = map("generated-{}".format, itertools.count())

IMPORT_PATH = "/v1/models"
GENERATE_PATHS = "/generate/"

LOGS_PATH = "/v1/jobs/{id}/logs"
ENDED = ("-succeeded", "-failed")
"""Ends of the names of finished jobs."""

SPECS = {
    "/v1/train-jobs": {"modelId": "generated", "prompt": "sks dog", "dataset": DATASET},
    "/v1/generate-jobs": {"prompt": "a dog", "modelId": None},
}
SIMPLE_FIELDS = ("prompt", "priority", "suspend", "backoffLimit", "startDeadlineSeconds", "maxSteps")
SIMPLIFIES = itertools.cycle([True, False])

VIDEO = frozenset(
    {"video_steps", "video_fit", "video_seed", "video_base_model", "frames", "fps", "motion_bucket_id"}
    | {"noise_aug_strength", "decode_chunk_size", "min_guidance_scale", "max_guidance_scale"}
)

CLASS = frozenset({"class_images", "prior_weight"})

ONLY_FROM_ANSWERS = frozenset({"cursor"})
"""Parameters whose good values are found in an earlier answer alone, whatever their pattern says."""

schemathesis.openapi.format("binary", strategies.sampled_from(PHOTOS))


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    if case.meta.phase.name is not TestPhase.STATEFUL:
        for location, values in ((ParameterLocation.PATH, case.path_parameters), (ParameterLocation.QUERY, case.query)):
            if _is_good(case, location):
                for name, ids in IDS.get(case.method, IDS["GET"]).items():
                    _replace(values, name, ids)
    if case.operation.path in FILES and _is_good(case, ParameterLocation.PATH):
        case.path_parameters.update(next(FILES[case.operation.path]))
    if _is_good(case, ParameterLocation.QUERY):
        for name in ONLY_FROM_ANSWERS & case.query.keys():
            del case.query[name]
        _end_logs(case)
    if case.method == "POST" and case.meta.generation.mode is GenerationMode.POSITIVE:
        _replace(case.headers, "Idempotency-Key", KEYS)
        _make_agree(case.query)
        _make_form_agree(case)
        _make_spec_agree(case)
        _give_lora(case)


def _end_logs(case: Any) -> None:
    """Follow no log of a job that never ends."""
    if case.path == LOGS_PATH and not str(case.path_parameters.get("id")).endswith(ENDED):
        case.query.pop("follow", None)


def _is_good(case: Any, location: ParameterLocation) -> bool:
    component = case.meta.components.get(location)
    return component is not None and component.mode is GenerationMode.POSITIVE


def _replace(values: Any, name: str, real: Iterator[Any]) -> None:
    if values not in (None, NOT_SET) and name in values:
        value = next(real)
        if value is not None:
            values[name] = value


def _make_agree(query: dict[str, Any]) -> None:
    """A description has no words for rules between parameters; without this nearly all would be refused by one."""
    if VIDEO & query.keys():
        query["allow_motion"] = "true"
    if {"min_guidance_scale", "max_guidance_scale"} & query.keys():
        query |= {"min_guidance_scale": "1", "max_guidance_scale": "3"}
    if query.get("negative_prompt"):
        query["guidance_scale"] = "5"
    _make_images_agree(query)
    _make_cache_agree(query)
    if "lora" in query:
        query.pop("model_id", None)
        query.pop("lora_scale", None)
    if CLASS & query.keys():
        query["class_prompt"] = "a dog"
    _make_training_agree(query)


def _make_images_agree(query: dict[str, Any]) -> None:
    for name in [name for name in query if name.startswith(("image_", "mask_", "video_image_"))]:
        del query[name]  # None of the generated pictures exists, and the form has others.
    query.pop("strength", None)
    if "count" in query or "grid" in query:
        query["count"] = "2"
    if "preview_steps" in query:
        query["preview_steps"] = "1"
    if "quality" in query:
        query["format"] = "JPEG"
    if {"upscale_strength", "upscale_steps"} & query.keys():
        query["upscale_factor"] = "1.5"


def _make_cache_agree(query: dict[str, Any]) -> None:
    """One of the caches: an interval, a branch, or a policy that adapts."""
    given = {name for name in query if name.startswith("cache_")}
    keep = {"cache_profile", "cache_policy", "cache_reuse_guidance", "cache_reuse_attention"}
    if "cache_interval" in given:
        keep = {"cache_interval"}
    elif "cache_branch" in given:
        keep, query["cache_policy"] = {"cache_policy", "cache_branch"}, "Interval"
    elif given:
        query |= {"cache_profile": "Fast", "cache_policy": "Adaptive"}
    for name in given - keep:
        del query[name]


def _make_form_agree(case: Any) -> None:
    """A mask needs a start picture, and a picture of the clip a clip."""
    if not case.path.startswith(GENERATE_PATHS) or not isinstance(case.body, dict):
        return
    if "image" not in case.body:
        case.body.pop("mask", None)
    if "video_image" in case.body:
        case.query["allow_motion"] = "true"


def _make_spec_agree(case: Any) -> None:
    """Every other JSON spec keeps only fields that need no others, with a dataset that exists. So do all parts `spec`,
    whose schema is a text."""
    if case.path not in SPECS or not isinstance(case.body, dict):
        return
    if case.media_type != "application/json":
        if "spec" in case.body:
            case.body["spec"] = _spec_part(case.path)
    elif next(SIMPLIFIES):
        given = {name: value for name, value in case.body.items() if name in SIMPLE_FIELDS}
        case.body = {**SPECS[case.path], **given}


def _spec_part(path: str) -> str:
    return json.dumps({name: SPECS[path][name] for name in ("modelId", "prompt")})


def _make_training_agree(query: dict[str, Any]) -> None:
    for name in {"dataset_uri", "class_dataset_uri", "initial_lora"} & query.keys():
        del query[name]  # None of the generated ones exists.
    if "unmasked_weight" in query:
        query["masked_loss"] = "true"
    if "keep_tags" in query:
        query["shuffle_tags"] = "true"
    if "text_encoder_learning_rate" in query:
        query["train_text_encoders"] = "true"
    if "validation_steps" in query:
        query["validation_prompt"] = "a dog"
    if {"save_steps", "validation_steps"} & query.keys():
        query["max_steps"] = "50"
    query.pop("evaluation_steps", None)
    query.pop("held_out_photos", None)  # More than the photos of the form, mostly.


def _give_lora(case: Any) -> None:
    """A real LoRA in object storage, named in the query or in the body, not in both. Photos stay: they are refused."""
    if case.path != IMPORT_PATH or case.body is NOT_SET:
        return
    case.query.pop("uri", None)
    if case.media_type == "application/json" and isinstance(case.body, dict):
        _replace(case.body, "uri", IDS["GET"]["uri"])


@schemathesis.hook
def filter_failure(context: Any, failure: Failure, case: Any, response: Any) -> bool:
    """Drops two kinds of false reports of Schemathesis 4.32.5.

    Its coverage phase fills an optional header that has a pattern with `0`, and calls it valid. And it calls a form
    with bytes that a hook has changed invalid.
    """
    if isinstance(failure, AcceptedNegativeData) and case.path in SPECS and isinstance(case.body, dict):
        return case.body.get("spec") != _spec_part(case.path)
    return not (isinstance(failure, RejectedPositiveData) and _broken_headers(case))


def _broken_headers(case: Any) -> list[str]:
    patterns = {
        each["name"]: each["schema"]["pattern"]
        for each in case.operation.definition.raw.get("parameters", [])
        if each["in"] == "header" and "pattern" in each["schema"]
    }
    given = case.headers or {}
    return [name for name, pattern in patterns.items() if name in given and not re.search(pattern, str(given[name]))]
