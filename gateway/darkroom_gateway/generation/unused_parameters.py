"""Rejects parameters of a generation that would have no effect. Called by generation/service.py. Pure.

Only parameters that the request sets are rejected, even with their default value. A job from YAML does not show which
fields were set: it runs, and gets a remark instead (runner/darkroom_runner/tasks/ignored_settings.py).
"""

from collections.abc import Iterator

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_gateway.errors import FieldError, invalid_request
from darkroom_gateway.generation.parameters import VIDEO_PARAMETERS, GenerateParameters

_CONTRADICTORY = (
    "Lower it to 1, or raise max_guidance_scale above 1: at {max:g} that turns guidance off for the whole clip."
)
_NO_MOTION = "Add allow_motion=true, or leave it out: it has no effect without a clip."
_UNGUIDED = "Raise guidance_scale above 1, or leave it out: at {scale:g} guidance is off and it has no effect."
_NO_MODEL = "Leave it out, and write the scale behind each LoRA, such as lora=my-dog:0.8: it belongs to model_id."
_UNCACHED = "Set cache_interval to 2 or more, or leave it out: DeepCache is off."
_REPLACED = "Leave it or cache_interval out: cache_interval overrides the interval of the profile."


def reject_unused_parameters(parameters: GenerateParameters, spec: GenerateJobSpec) -> None:
    """Raises `InvalidRequestError` with an error for each. `spec` is the spec of these parameters."""
    ignored = dict(_ignored(parameters.model_fields_set, spec))
    if ignored:
        raise invalid_request(
            FieldError(name, message, str(getattr(parameters, name))) for name, message in ignored.items()
        )


def _ignored(given: set[str], spec: GenerateJobSpec) -> Iterator[tuple[str, str]]:
    """The names of the parameters without effect, each with advice."""
    if not spec.allow_motion:
        yield from ((name, _NO_MOTION) for name in VIDEO_PARAMETERS if name in given)
    elif spec.video.has_contradictory_guidance:
        yield "min_guidance_scale", _CONTRADICTORY.format(max=spec.video.max_guidance_scale)
    if spec.negative_prompt and not spec.is_guided:
        yield "negative_prompt", _UNGUIDED.format(scale=spec.images.guidance_scale)
    if "lora_scale" in given and spec.model_id is None:
        yield "lora_scale", _NO_MODEL
    if "cache_branch" in given and spec.cache.effective_interval <= 1:
        yield "cache_branch", _UNCACHED
    if {"cache_profile", "cache_interval"} <= given:
        yield "cache_profile", _REPLACED
