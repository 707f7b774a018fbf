"""Metadata of images, clips and LoRA files: how they were made, so that they can be reproduced."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from darkroom_contract.base_models import UsedModel
from darkroom_contract.plan import VALIDATION_GUIDANCE_SCALE, VALIDATION_STEPS
from darkroom_contract.specs.cache import Cache, CachePolicy
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.images import ImageFormat, VaeTiling
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.specs.training import Training
from darkroom_runner.unet_cache.policies import PROFILES

_PACKAGES = ("darkroom", "torch", "diffusers", "transformers", "peft", "DeepCache", "av")

_DEFAULT_SAMPLER = "default"
"""Of jobs that use the base model's own sampler."""


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that affect the output, by package."""
    return dict(_installed_versions())


@cache
def _installed_versions() -> dict[str, str]:
    """Read from the packages' metadata once per process."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def image_metadata(
    spec: GenerateJobSpec,
    base_model: UsedModel,
    lora_sha256: Sequence[str],
    seed: int,
    size_px: tuple[int, int],
    start_sha256: Mapping[str, str] | None = None,
    lora_tensors_sha256: Sequence[str] = (),
) -> dict[str, Any]:
    """Everything needed to reproduce an image: the `darkroom` chunk of its PNG.

    `lora_sha256` are the digests of the files of `spec.used_loras`, in that order, and `lora_tensors_sha256` those by
    which other tools find them (`lora.file_hashes.web_ui_hash`), where they are known; `start_sha256` those of the
    start image and the mask, by their field. A job of the short form has the same entries as in Darkroom 0.1.
    """
    images = spec.images
    metadata: dict[str, Any] = {
        "prompt": spec.prompt,
        "negativePrompt": spec.negative_prompt,
        "seed": seed,
        "steps": images.steps,
        "guidanceScale": images.guidance_scale,
        "scheduler": images.scheduler.value if images.scheduler else _DEFAULT_SAMPLER,
        "width": size_px[0],
        "height": size_px[1],
        **_base_model_entries(base_model),
        "cache": cache_metadata(spec.cache),
        "versions": package_versions(),
        **_drawing_entries(spec, start_sha256 or {}),
    }
    hashes = [{"tensorsSha256": each} for each in lora_tensors_sha256] or [{} for _ in lora_sha256]
    used = list(zip(spec.used_loras, lora_sha256, hashes, strict=True))
    if spec.model_id is not None:
        lora = {"modelId": spec.model_id, "loraScale": spec.lora_scale, "loraSha256": lora_sha256[0]}
        return metadata | lora | ({"loraTensorsSha256": lora_tensors_sha256[0]} if lora_tensors_sha256 else {})
    loras = [use.to_dict() | {"sha256": sha256} | more for use, sha256, more in used]
    return metadata | ({"loras": loras} if loras else {})


def _drawing_entries(spec: GenerateJobSpec, start_sha256: Mapping[str, str]) -> dict[str, Any]:
    """Start image, mask, upscaling pass, clip skip, tiling and format, where the job has them, by the spec's names."""
    found: dict[str, Any] = {}
    for field, settings in {"startImage": spec.start_image, "mask": spec.mask}.items():
        if settings is not None:
            digest = {"sha256": start_sha256[field]} if field in start_sha256 else {}
            found[field] = settings.to_dict() | digest
    if spec.upscale is not None:
        found["upscale"] = spec.upscale.to_dict() | {"steps": spec.upscale.steps or spec.images.steps}
    if spec.images.clip_skip:
        found["clipSkip"] = spec.images.clip_skip
    if spec.images.vae_tiling is not VaeTiling.AUTO:
        found["vaeTiling"] = spec.images.vae_tiling.value
    if spec.images.format is not ImageFormat.PNG:
        found |= {"format": spec.images.format.value, "quality": spec.images.quality}
    return found


def cache_metadata(cache: Cache) -> dict[str, Any] | None:
    """The settings of the U-Net cache that apply; None when it is off.

    `interval` and `branch` are there for the policies that use them, as in Darkroom 0.1.
    """

    if not cache.enabled:
        return None
    policy = cache.effective_policy
    if policy in (CachePolicy.INTERVAL, CachePolicy.DEEPCACHE):
        return {"policy": policy.value, "interval": cache.effective_interval, "branch": cache.branch}
    profile = PROFILES[cache.profile]
    default = profile.first_block_threshold if policy is CachePolicy.FIRST_BLOCK else profile.threshold
    found = {
        "policy": policy.value,
        "profile": cache.profile.value,
        "threshold": default if cache.threshold is None else cache.threshold,
    }
    if policy is CachePolicy.FIRST_BLOCK:
        return found
    return found | {"reuseGuidance": cache.reuse_guidance, "reuseAttention": cache.reuse_attention}


def grid_metadata(images: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of a job's grid: the metadata of its first image, and the seeds of all."""
    return images[0] | {"gridSeeds": [image["seed"] for image in images]}


def validation_metadata(
    spec: TrainJobSpec,
    prompt: str,
    base_model: UsedModel,
    size_px: tuple[int, int],
    step: int,
    lora_sha256: str | None = None,
) -> dict[str, Any]:
    """`image_metadata` for an image of a validation prompt, made with the LoRA as it was after a step.

    `lora_sha256` is None for an image from the middle of a training.
    """
    lora = {"modelId": spec.model_id, "trainingStep": step, "loraScale": 1.0}
    return {
        "prompt": prompt,
        "negativePrompt": "",
        "seed": spec.training.seed,
        "steps": VALIDATION_STEPS,
        "guidanceScale": VALIDATION_GUIDANCE_SCALE,
        "scheduler": _DEFAULT_SAMPLER,
        "width": size_px[0],
        "height": size_px[1],
        **_base_model_entries(base_model),
        "cache": None,
        "versions": package_versions(),
        **lora,
        **({} if lora_sha256 is None else {"loraSha256": lora_sha256}),
    }


def clip_metadata(spec: GenerateJobSpec, video_model: UsedModel, start: dict[str, Any]) -> dict[str, Any]:
    """A clip's comment: the video settings, and where its first frame is from.

    `start` is `picture`, the metadata of the job's image, or `startImage`, the URI and digest of the user's own.
    """
    video = spec.video.to_dict() | _base_model_entries(video_model)
    video |= {"cache": cache_metadata(spec.cache)}
    video.pop("startImage", None)
    return {"video": video, **start}


def _base_model_entries(used: UsedModel) -> dict[str, str]:
    """The reference in the job, and the hub commit where it is known: branches and tags can move to other weights."""
    return {"baseModel": used.reference} | ({"baseModelCommit": used.commit} if used.commit else {})


def lora_metadata(spec: TrainJobSpec, base_model: UsedModel) -> dict[str, str]:
    """Metadata of a LoRA file: the main settings, and all others that differ from their defaults.

    It has no local path, no job name and no folder of photos, so that equal trainings give equal files. The model's
    record has the job's uid and the file's SHA-256.
    """
    training = spec.training
    metadata = {
        "prompt": spec.prompt,
        "modelId": spec.model_id,
        **_base_model_entries(base_model),
        **_changed_settings(spec),
        "rank": training.rank,
        "alpha": training.alpha or training.rank,
        "layers": training.layers.value,
        "trainTextEncoders": training.train_text_encoders,
        "learningRate": training.peak_learning_rate,
        "steps": spec.max_steps,
        "seed": training.seed,
        "versions": package_versions(),
    }
    return {f"darkroom.{name}": _entry(value) for name, value in metadata.items()}


def _changed_settings(spec: TrainJobSpec) -> dict[str, Any]:
    """Everything in `training` that differs from its default, and the job's further concepts, by the spec's names."""
    defaults = Training().to_dict()
    changed = {name: value for name, value in spec.training.to_dict().items() if value != defaults.get(name)}
    if spec.concepts:
        changed |= {"repeats": spec.repeats, "concepts": [concept.to_dict() for concept in spec.concepts]}
    return {name: _without_folders(value) for name, value in changed.items()}


def _without_folders(value: Any) -> Any:
    """Datasets become `true`: their folders have other names in every upload. Of a LoRA's URI its file name is left."""
    if isinstance(value, dict):
        return {name: _without_folder(name, each) for name, each in value.items()}
    return [_without_folders(each) for each in value] if isinstance(value, list) else value


def _without_folder(name: str, value: Any) -> Any:
    if name == "uri":
        return str(value).rpartition("/")[2]
    return True if name == "dataset" else _without_folders(value)


def _entry(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


def saved_step_metadata(
    spec: TrainJobSpec, base_model: UsedModel, step: int, held_out_loss: float | None
) -> dict[str, str]:
    """`lora_metadata` of a LoRA from the middle of a training."""
    loss = {} if held_out_loss is None else {"darkroom.heldOutLoss": str(held_out_loss)}
    return {**lora_metadata(spec, base_model), "darkroom.trainedSteps": str(step), **loss}
