"""Settings of a job that do nothing, or cost more than they bring: each becomes a remark. Called by both jobs.

What does nothing is remarked upon only where it differs from its default: the rest nobody asked for. DeepCache is on by
default, and is remarked upon wherever a job has too few steps for it. Reads specs and adds remarks; loads no model.
"""

from darkroom_contract.plan import class_image_count
from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs import Cache, GenerateJobSpec, TrainJobSpec, Video
from darkroom_runner.remarks import Remarks

MIN_CACHED_STEPS = 10
"""Below it DeepCache saves little, as the first step runs the whole U-Net, and each step shows in the picture."""


def remark_on_generation(spec: GenerateJobSpec, remarks: Remarks) -> None:
    """Add `SettingIgnored` and `CacheIneffective`."""
    if spec.negative_prompt and not spec.is_guided:
        _ignored(
            remarks,
            f"negativePrompt does nothing: images.guidanceScale {spec.images.guidance_scale:g} turns guidance off. "
            "Raise it above 1.",
        )
    if spec.model_id is None and spec.lora_scale != GenerateJobSpec.model_fields["lora_scale"].default:
        _ignored(remarks, "loraScale does nothing without modelId. Set modelId to the LoRA that it is for.")
    if not spec.allow_motion and spec.video != Video():
        _ignored(remarks, "video does nothing: allowMotion is false. Set it to true to make a clip.")
    _remark_on_cache(spec, remarks)


def remark_on_training(spec: TrainJobSpec, remarks: Remarks) -> None:
    """Add `SettingIgnored`."""
    training, prior = spec.training, spec.training.prior_preservation
    if training.warmup_steps >= spec.max_steps:
        _ignored(
            remarks,
            f"training.warmupSteps {training.warmup_steps} leaves no step of {spec.max_steps} (maxSteps) at "
            f"training.learningRate {training.learning_rate:g}, which is never reached. Lower warmupSteps or raise "
            "maxSteps.",
        )
    if prior is not None and prior.weight == 0:
        _ignored(
            remarks,
            "priorPreservation does nothing but take time: its weight is 0. Raise priorPreservation.weight, or leave "
            "priorPreservation out.",
        )
    drawn = class_image_count(spec)
    if prior is not None and drawn < prior.class_images:
        _ignored(
            remarks,
            f"{drawn} class pictures are drawn, not {prior.class_images} (priorPreservation.classImages): the training "
            f"shows no more in {spec.max_steps} steps.",
        )


def _remark_on_cache(spec: GenerateJobSpec, remarks: Remarks) -> None:
    if spec.cache.interval is not None and spec.cache.profile is not Cache().profile:
        _ignored(
            remarks,
            f"cache.profile {spec.cache.profile} does nothing: cache.interval {spec.cache.interval} takes its place. "
            "Set one of the two.",
        )
    interval = spec.cache.effective_interval
    if interval <= 1:
        if spec.cache.branch:
            _ignored(remarks, "cache.branch does nothing: DeepCache is off. Set cache.interval to 2 or more.")
        return
    counts = {"images.steps": spec.images.steps}
    if spec.allow_motion:
        counts["video.steps"] = spec.video.steps
    for field, steps in counts.items():
        # Of one step, the first runs the whole U-Net: DeepCache changes nothing.
        if 1 < steps < MIN_CACHED_STEPS:
            remarks.add(
                RemarkReason.CACHE_INEFFECTIVE,
                f"With {field} {steps}, DeepCache at interval {interval} saves little time and costs much quality. Set "
                f"cache.profile to Disabled, or {field} to {MIN_CACHED_STEPS} or more.",
            )


def _ignored(remarks: Remarks, message: str) -> None:
    remarks.add(RemarkReason.SETTING_IGNORED, message)
