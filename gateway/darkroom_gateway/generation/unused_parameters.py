"""Rejects parameters of a generation that would have no effect. Called by generation/service.py. Pure.

Only parameters that the request sets are rejected, even with their default value. A job from YAML does not show which
fields were set: it runs, and gets a remark instead (runner/darkroom_runner/tasks/ignored_settings.py).
"""

from collections.abc import Iterable, Iterator

from darkroom_contract.specs.cache import Cache, CachePolicy
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.images import ImageFormat, Images
from darkroom_gateway.errors import FieldError, invalid_request
from darkroom_gateway.generation.image_sources import ImageRole
from darkroom_gateway.generation.parameters import VIDEO_PARAMETERS, GenerateParameters

_CONTRADICTORY = (
    "Lower it to 1, or raise max_guidance_scale above 1: at {max:g} that turns guidance off for the whole clip."
)
_NO_MOTION = "Add allow_motion=true, or leave it out: it has no effect without a clip."
_UNGUIDED = "Raise guidance_scale above 1, or leave it out: at {scale:g} guidance is off and it has no effect."
_NO_MODEL = "Leave it out, and write the scale behind each LoRA, such as lora=my-dog:0.8: it belongs to model_id."
_UNCACHED = "Leave it, or cache_profile=Disabled or cache_interval=1, out: they turn the cache off."
_REPLACED = "Leave it or cache_interval out: cache_interval overrides the interval of the profile."
_REPLACED_THRESHOLD = "Leave it or cache_threshold out: cache_threshold overrides the threshold of the profile."
_INTERVAL_POLICY = "Leave it or {name} out: {name} makes Interval the policy."
_OTHER_POLICY = "Set cache_policy to {policies}, or leave it out: the policy {policy} does not use it."
_NO_MASK = "Add a mask ({ways}), or leave it out: it has no effect without a mask."
_NO_IMAGE = "Add a start picture ({ways}), or leave it out: it has no effect without one."
_MASK_ALONE = "Add the start picture that is painted on: {ways}."
_NO_UPSCALE = "Add upscale_factor, or leave it out: there is no second pass."
_LOSSLESS = "Set format to JPEG, WebP or AVIF, or leave it out: PNG is lossless."
_NO_GRID = "Set count to 2 or more, or leave it out: a grid has several images."
_NO_CLIP = "Add allow_motion=true, or leave the picture out: it has no effect without a clip."
_NOTHING = "Raise it to 1 or more; or add allow_motion=true and the picture that the clip begins with: {ways}."
_NO_IMAGES = "Raise count to 1 or more, or leave it out: no images are generated."
_NO_PREVIEW = "Lower it to {steps} or less, or set it to 0: no generation of this request has more steps."

_ADAPTIVE = ("cache_reuse_guidance", "cache_reuse_attention")
_MASK_ONLY = ("mask_blur", "mask_channel", "mask_invert")
_OF_IMAGES = (
    *(name for name in Images.model_fields if name not in ("count", "preview_steps")),
    *("strength", "image_fit", *_MASK_ONLY, "upscale_factor", "upscale_strength", "upscale_steps"),
)
"""Without effect when a request generates no images."""

Ignored = Iterator[tuple[str, str]]
"""Names of parameters without effect, each with advice."""


def reject_unused_parameters(parameters: GenerateParameters, spec: GenerateJobSpec) -> None:
    """Raises `InvalidRequestError` with an error for each. `spec` is the spec of these parameters."""
    ignored = dict(_ignored(parameters.model_fields_set, spec))
    if ignored:
        raise invalid_request(FieldError(name, message, _shown(parameters, name)) for name, message in ignored.items())


def _shown(parameters: GenerateParameters, name: str) -> str | None:
    """The value of a parameter; a picture of the form has none."""
    value = getattr(parameters, name, None)
    return None if value is None else str(value)


def _ignored(given: set[str], spec: GenerateJobSpec) -> Ignored:
    if not spec.allow_motion:
        yield from ((name, _NO_MOTION) for name in VIDEO_PARAMETERS if name in given)
    elif spec.video.has_contradictory_guidance:
        yield "min_guidance_scale", _CONTRADICTORY.format(max=spec.video.max_guidance_scale)
    if spec.negative_prompt and not spec.is_guided:
        yield "negative_prompt", _UNGUIDED.format(scale=spec.images.guidance_scale)
    if "lora_scale" in given and spec.model_id is None:
        yield "lora_scale", _NO_MODEL
    yield from _ignored_files(given, spec)
    yield from _ignored_by_images(given, spec)
    yield from _ignored_by_cache(given, spec.cache)


def _ignored_files(given: set[str], spec: GenerateJobSpec) -> Ignored:
    images = spec.images
    if "quality" in given and images.format is ImageFormat.PNG:
        yield "quality", _LOSSLESS
    if images.grid and images.count == 1:
        yield "grid", _NO_GRID
    steps = max(images.steps if images.count else 0, spec.video.steps if spec.allow_motion else 0)
    if "preview_steps" in given and images.preview_steps > steps > 0:
        yield "preview_steps", _NO_PREVIEW.format(steps=steps)


def _ignored_by_images(given: set[str], spec: GenerateJobSpec) -> Ignored:
    """Settings of start picture, mask and second pass; and all of images when there are none."""
    if spec.start_image is None:
        yield from ((name, _NO_IMAGE.format(ways=ImageRole.IMAGE.ways)) for name in _of(given, "strength", "image_fit"))
    if spec.mask is None:
        yield from ((name, _NO_MASK.format(ways=ImageRole.MASK.ways)) for name in _of(given, *_MASK_ONLY))
    elif spec.start_image is None:
        yield _name(given, ImageRole.MASK), _MASK_ALONE.format(ways=ImageRole.IMAGE.ways)
    if spec.upscale is None:
        yield from ((name, _NO_UPSCALE) for name in _of(given, "upscale_strength", "upscale_steps"))
    if spec.video.start_image is not None and not spec.allow_motion:
        yield _name(given, ImageRole.VIDEO_IMAGE), _NO_CLIP
    if spec.images.count > 0:
        return
    if spec.video.start_image is None or not spec.allow_motion:
        yield "count", _NOTHING.format(ways=ImageRole.VIDEO_IMAGE.ways)
        return
    yield from ((name, _NO_IMAGES) for name in _of(given, *_OF_IMAGES))
    if spec.start_image is not None:
        yield _name(given, ImageRole.IMAGE), _NO_IMAGES
    if spec.mask is not None:
        yield _name(given, ImageRole.MASK), _NO_IMAGES


def _ignored_by_cache(given: set[str], cache: Cache) -> Ignored:
    policy = cache.effective_policy
    if {"cache_profile", "cache_interval"} <= given:
        yield "cache_profile", _REPLACED
    elif {"cache_profile", "cache_threshold"} <= given and policy in _WITH_THRESHOLD:
        yield "cache_profile", _REPLACED_THRESHOLD
    if "cache_threshold" in given and policy not in _WITH_THRESHOLD:
        yield "cache_threshold", _other_policy(policy, _WITH_THRESHOLD)
    elif not cache.enabled and "cache_threshold" not in given:
        yield from ((name, _UNCACHED) for name in _of(given, "cache_branch", "cache_policy", *_ADAPTIVE))
        return
    if policy is not CachePolicy.ADAPTIVE:
        yield from ((name, _other_policy(policy, (CachePolicy.ADAPTIVE,))) for name in _of(given, *_ADAPTIVE))
    if "cache_policy" in given and policy is not cache.policy:
        name = "cache_branch" if cache.interval is None else "cache_interval"
        yield "cache_policy", _INTERVAL_POLICY.format(name=name)


_WITH_THRESHOLD = (CachePolicy.ADAPTIVE, CachePolicy.FIRST_BLOCK)


def _other_policy(policy: CachePolicy, policies: Iterable[CachePolicy]) -> str:
    return _OTHER_POLICY.format(policy=policy, policies=" or ".join(policies))


def _of(given: set[str], *names: str) -> list[str]:
    return [name for name in names if name in given]


def _name(given: set[str], role: ImageRole) -> str:
    """The parameter that gives a picture; the part of the form if none does."""
    return next((name for name in role.parameters if name in given), role.value)
