"""Parameters of a generation that would do nothing: refused, each by its name. Called by generation.py. Pure.

Only what the request itself sets counts, even at its default. In a job from YAML the two can't be told apart: it runs,
and gets a remark instead (runner/darkroom_runner/tasks/ignored_settings.py).
"""

from collections.abc import Iterator

from darkroom_contract.specs import GenerateJobSpec
from darkroom_gateway.errors import Complaint, invalid_request
from darkroom_gateway.parameters import VIDEO_PARAMETERS, GenerateParameters

_CONTRADICTORY = (
    "Lower it to 1, or raise max_guidance_scale above 1: at {max:g} that turns guidance off for the whole clip."
)
_NO_MOTION = "Add allow_motion=true, or leave it out: without a clip it does nothing."
_UNGUIDED = "Raise guidance_scale above 1, or leave it out: at {scale:g} guidance is off and nothing reads it."
_UNCACHED = "Set cache_interval to 2 or more, or leave it out: DeepCache is off and has no branch."
_REPLACED = "Leave it or cache_interval out: the interval takes the place of the profile's."


def refuse_ignored_parameters(parameters: GenerateParameters, spec: GenerateJobSpec) -> None:
    """Raises `InvalidRequestError` with a complaint for each. `spec` is the one that these parameters make."""
    ignored = dict(_ignored(parameters.model_fields_set, spec))
    if ignored:
        raise invalid_request(
            Complaint(name, message, str(getattr(parameters, name))) for name, message in ignored.items()
        )


def _ignored(given: set[str], spec: GenerateJobSpec) -> Iterator[tuple[str, str]]:
    """The names of the parameters that do nothing, and what to do about each."""
    if not spec.allow_motion:
        yield from ((name, _NO_MOTION) for name in VIDEO_PARAMETERS if name in given)
    elif spec.video.has_contradictory_guidance:
        yield "min_guidance_scale", _CONTRADICTORY.format(max=spec.video.max_guidance_scale)
    if spec.negative_prompt and not spec.is_guided:
        yield "negative_prompt", _UNGUIDED.format(scale=spec.images.guidance_scale)
    if "cache_branch" in given and spec.cache.effective_interval <= 1:
        yield "cache_branch", _UNCACHED
    if {"cache_profile", "cache_interval"} <= given:
        yield "cache_profile", _REPLACED
