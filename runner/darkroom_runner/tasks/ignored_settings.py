"""Adds remarks for settings of a job that have no effect, or cost more than they gain. Called by the generate task.

`ignored_training_settings` has those of trainings. A setting without effect gets a remark only if it differs from its
default. A cache with a fixed interval gets one whenever a job has too few steps for it; the adaptive one has bounds of
its own. Only the spec is read; no model is loaded.
"""

from pydantic.alias_generators import to_camel

from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs.cache import Cache, CachePolicy
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.images import ImageFormat, Images
from darkroom_contract.specs.video import Video
from darkroom_runner.run.remarks import Remarks

MIN_CACHED_STEPS = 10
"""With fewer steps a fixed interval saves little time, since the first step runs the whole U-Net, and costs quality."""


def remark_on_generation(spec: GenerateJobSpec, remarks: Remarks) -> None:
    """Add the remarks `SettingIgnored` and `CacheIneffective`."""
    if spec.negative_prompt and not spec.is_guided:
        _ignored(
            remarks,
            f"negativePrompt has no effect: images.guidanceScale {spec.images.guidance_scale:g} turns guidance off. "
            "Raise it above 1.",
        )
    if spec.model_id is None and spec.lora_scale != GenerateJobSpec.model_fields["lora_scale"].default:
        advice = "Set the scale of each of loras." if spec.loras else "Set modelId to the LoRA to use."
        _ignored(remarks, f"loraScale has no effect without modelId. {advice}")
    if not spec.allow_motion and spec.video != Video():
        _ignored(remarks, "video has no effect: allowMotion is false. Set it to true to make a clip.")
    _remark_on_images(spec, remarks)
    _remark_on_cache(spec, remarks)


_OF_IMAGES = ("model_id", "loras", "start_image", "mask", "upscale")


def _remark_on_images(spec: GenerateJobSpec, remarks: Remarks) -> None:
    images = spec.images
    if images.count == 0:
        used = {"count", "preview_steps"}
        changed = [name for name, field in Images.model_fields.items() if getattr(images, name) != field.default]
        fields = [f"images.{to_camel(name)}" for name in changed if name not in used]
        fields += [to_camel(name) for name in _OF_IMAGES if getattr(spec, name)]
        if fields:
            effect = "has" if len(fields) == 1 else "have"
            advice = "Raise it to generate images."
            _ignored(remarks, f"{', '.join(fields)} {effect} no effect: images.count is 0. {advice}")
        return
    if images.format is ImageFormat.PNG and images.quality != Images.model_fields["quality"].default:
        _ignored(remarks, "images.quality has no effect: PNG is lossless. Set images.format to JPEG, WebP or AVIF.")
    if images.grid and images.count == 1:
        _ignored(remarks, "images.grid has no effect: images.count is 1. Raise it to 2 or more.")


def _remark_on_cache(spec: GenerateJobSpec, remarks: Remarks) -> None:
    if spec.cache.interval is not None and spec.cache.profile is not Cache().profile:
        _ignored(
            remarks,
            f"cache.profile {spec.cache.profile} has no effect: cache.interval {spec.cache.interval} overrides it. "
            "Set one of the two.",
        )
    interval = spec.cache.effective_interval
    if interval <= 1:
        if spec.cache.branch:
            _ignored(
                remarks,
                "cache.branch has no effect: the cache is off. Set cache.interval to 2 or more, or leave it out and "
                "set cache.profile to Quality, Balanced or Fast.",
            )
        return
    if spec.cache.effective_policy in (CachePolicy.ADAPTIVE, CachePolicy.FIRST_BLOCK):
        return
    counts = {"images.steps": spec.images.steps} if spec.images.count else {}
    if spec.allow_motion:
        counts["video.steps"] = spec.video.steps
    for field, steps in counts.items():
        # A single step always runs the whole U-Net: the cache changes nothing.
        if 1 < steps < MIN_CACHED_STEPS:
            remarks.add(
                RemarkReason.CACHE_INEFFECTIVE,
                f"With {field} {steps}, a cache at interval {interval} saves little time and costs much quality. Set "
                f"cache.profile to Disabled, or {field} to {MIN_CACHED_STEPS} or more.",
            )


def _ignored(remarks: Remarks, message: str) -> None:
    remarks.add(RemarkReason.SETTING_IGNORED, message)
