"""Turns the parameters of OpenAI's API into those of `POST /generate/...`, and back in errors. Pure."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from darkroom_contract.specs.cache import CacheProfile
from darkroom_contract.specs.images import ImageFormat, Images
from darkroom_gateway.errors import FieldError, GatewayError, invalid_request
from darkroom_gateway.generation.parameters import GenerateParameters, LoraParameters
from darkroom_gateway.openai_images.parameters import EditRequest, ImageRequest

QUALITIES: dict[str, tuple[int, CacheProfile]] = {
    "low": (20, CacheProfile.FAST),
    "medium": (30, CacheProfile.BALANCED),
    "high": (40, CacheProfile.QUALITY),
    "xhigh": (50, CacheProfile.QUALITY),
    "max": (50, CacheProfile.DISABLED),
}
"""Steps and cache profile by quality."""
OLD_QUALITIES = {"standard": "medium", "hd": "high"}
"""Names that DALL·E had."""

FORMATS = {"png": ImageFormat.PNG, "jpeg": ImageFormat.JPEG, "webp": ImageFormat.WEBP}
STRENGTHS = {"high": 0.35, "low": 0.6}
"""Strength by input fidelity, for an edit of the whole picture."""
MASKED_STRENGTH = 1.0
"""Nothing of the picture is left where the mask is transparent, as in OpenAI's API."""

_SAME = {"prompt", "negative_prompt", "seed", "steps", "guidance_scale", "scheduler", "clip_skip", "cache_profile"} | {
    "lora_scale",
    "lora",
    "upscale_factor",
    "priority",
    "strength",
    "image_fit",
    "mask_blur",
}
"""Parameters with the name that they have in `POST /generate/...`."""

_NAMES = {
    "count": "n",
    "width": "size",
    "height": "size",
    "format": "output_format",
    "quality": "output_compression",
    "model_id": "model",
    "preview_steps": "partial_images",
}
"""Names of OpenAI's API by the others."""


def generate_parameters(asked: ImageRequest, lora: str | None, *, masked: bool = False) -> GenerateParameters:
    """`lora` is the LoRA that `model` means. Raises `InvalidRequestError`."""
    _refuse_contradictions(asked)
    values = asked.model_dump(include=_SAME, exclude_none=True) | _file(asked) | _size(asked.size)
    steps, profile = QUALITIES.get(quality_of(asked.quality), (None, None))
    if steps is not None and asked.steps is None:
        values["steps"] = steps
    if profile is not None and asked.cache_profile is None:
        values["cache_profile"] = profile
    if asked.n is not None:
        values["count"] = asked.n
    if asked.partial_images:
        values["preview_steps"] = _preview_steps(values.get("steps"), asked.partial_images)
    if isinstance(asked, EditRequest):
        values |= _edit(asked, masked=masked)
    return _with_loras(values, lora)


def _refuse_contradictions(asked: ImageRequest) -> None:
    if asked.partial_images and not asked.stream:
        message = "Add stream=true, or leave it out: previews are sent in a stream."
        raise invalid_request([FieldError("partial_images", message, str(asked.partial_images))])
    if asked.response_format == "url" and asked.stream:
        message = "Leave it out: the events of a stream have pictures in base64."
        raise invalid_request([FieldError("response_format", message, asked.response_format)])


def quality_of(given: str | None) -> str:
    """The name of a quality in answers. Those without an own name have the settings of medium, or nearly."""
    quality = OLD_QUALITIES.get(given or "auto", given or "auto")
    return quality if quality in QUALITIES else "auto"


def _file(asked: ImageRequest) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if asked.output_format is not None:
        values["format"] = FORMATS[asked.output_format]
    if asked.output_compression is not None:
        values["quality"] = max(1, asked.output_compression)
    return values


def _size(size: str | None) -> dict[str, int]:
    """Raises `InvalidRequestError` for a size that no picture has."""
    if size is None or size == "auto":
        return {}
    width, height = map(int, size.split("x"))
    if any(side < 64 or side > 2048 or side % 8 for side in (width, height)):
        message = "Use WIDTHxHEIGHT with sides of 64 to 2048 pixels, in steps of 8, such as 1024x1024; or auto."
        raise invalid_request([FieldError("size", message, size)])
    return {"width": width, "height": height}


def _preview_steps(steps: int | None, previews: int) -> int:
    """The interval that gives at most this many previews before the last step."""
    steps = Images().steps if steps is None else steps
    return min(steps, -(-steps // (previews + 1)))


def _edit(asked: EditRequest, *, masked: bool) -> dict[str, Any]:
    values: dict[str, Any] = {"mask_channel": "Transparency"} if masked else {}
    if masked and asked.input_fidelity is not None:
        message = "Leave it out: what the mask covers is replaced, and the rest stays as it is."
        raise invalid_request([FieldError("input_fidelity", message, asked.input_fidelity)])
    if asked.strength is None:
        values["strength"] = MASKED_STRENGTH if masked else STRENGTHS[asked.input_fidelity or "low"]
    return values


def _with_loras(values: dict[str, Any], lora: str | None) -> GenerateParameters:
    if lora is not None:
        return LoraParameters(**values, model_id=lora)
    if values.get("lora"):
        return LoraParameters(**values)
    values.pop("lora", None)
    if "lora_scale" in values:
        message = "Name the LoRA in model, or leave it out: the base model has no scale."
        raise invalid_request([FieldError("lora_scale", message, str(values["lora_scale"]))])
    return GenerateParameters(**values)


@contextmanager
def in_openai_names() -> Iterator[None]:
    """Renames the parameters that errors name into those of OpenAI's API."""
    try:
        yield
    except GatewayError as error:
        before, detail = error.field_errors, str(error)
        error.field_errors = tuple(
            replace(each, parameter=_NAMES.get(each.parameter, each.parameter)) for each in before
        )
        for old, new in zip(before, error.field_errors, strict=True):
            detail = detail.replace(f"{old.parameter}: {old.message}", f"{new.parameter}: {new.message}")
        error.args = (detail,)
        raise
