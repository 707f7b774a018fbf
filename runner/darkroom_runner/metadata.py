"""What pictures, clips and LoRAs say about how they were made. Pure; the rooms that write files call it."""

import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from PIL.PngImagePlugin import PngInfo

from darkroom_contract.base_models import UsedModel
from darkroom_contract.plan import VALIDATION_GUIDANCE_SCALE, VALIDATION_STEPS
from darkroom_contract.specs import GenerateJobSpec, TrainJobSpec

_PACKAGES = ("darkroom", "torch", "diffusers", "transformers", "peft", "DeepCache", "av")


def versions() -> dict[str, str]:
    """Versions of what made a file, by package."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def picture_facts(
    spec: GenerateJobSpec, base_model: UsedModel, lora_sha256: str | None, seed: int, size_px: tuple[int, int]
) -> dict[str, Any]:
    """All that makes a picture again: the `darkroom` chunk of its PNG."""
    images, interval = spec.images, spec.cache.effective_interval
    facts: dict[str, Any] = {
        "prompt": spec.prompt,
        "negativePrompt": spec.negative_prompt,
        "seed": seed,
        "steps": images.steps,
        "guidanceScale": images.guidance_scale,
        "scheduler": images.scheduler.value if images.scheduler else "default",
        "width": size_px[0],
        "height": size_px[1],
        **_base_model(base_model),
        "cache": {"interval": interval, "branch": spec.cache.branch} if interval > 1 else None,
        "versions": versions(),
    }
    if spec.model_id is not None:
        facts |= {"modelId": spec.model_id, "loraScale": spec.lora_scale, "loraSha256": lora_sha256}
    return facts


def validation_facts(
    spec: TrainJobSpec, prompt: str, base_model: UsedModel, lora_sha256: str, size_px: tuple[int, int]
) -> dict[str, Any]:
    """The same for a training's validation picture: its LoRA is the one that was just trained."""
    return {
        "prompt": prompt,
        "negativePrompt": "",
        "seed": spec.training.seed,
        "steps": VALIDATION_STEPS,
        "guidanceScale": VALIDATION_GUIDANCE_SCALE,
        "scheduler": "default",
        "width": size_px[0],
        "height": size_px[1],
        **_base_model(base_model),
        "cache": None,
        "versions": versions(),
        "modelId": spec.model_id,
        "loraScale": 1.0,
        "loraSha256": lora_sha256,
    }


def clip_facts(spec: GenerateJobSpec, video_model: UsedModel, picture: dict[str, Any]) -> dict[str, Any]:
    """A clip's comment: how it was animated, and the picture that it began with."""
    return {"video": spec.video.to_dict() | _base_model(video_model), "picture": picture}


def _base_model(used: UsedModel) -> dict[str, str]:
    """As the job names it; and the hub's commit, where it is known: a branch or tag may mean other weights later."""
    return {"baseModel": used.reference} | ({"baseModelCommit": used.commit} if used.commit else {})


def lora_facts(spec: TrainJobSpec, base_model: UsedModel) -> dict[str, str]:
    """What a LoRA's file says of its training. The base model is named as the job names it: no path is in it.

    Nor is the job: equal trainings give equal files. The model's record has the job's uid and the file's SHA-256.
    """
    training = spec.training
    facts = {
        "prompt": spec.prompt,
        "modelId": spec.model_id,
        **_base_model(base_model),
        "rank": training.rank,
        "alpha": training.alpha or training.rank,
        "layers": training.layers.value,
        "trainTextEncoders": training.train_text_encoders,
        "learningRate": training.learning_rate,
        "steps": spec.max_steps,
        "seed": training.seed,
        "versions": json.dumps(versions()),
    }
    return {f"darkroom.{name}": str(value) for name, value in facts.items()}


def png_info(facts: dict[str, Any]) -> PngInfo:
    """PNG text chunks: `parameters` as picture viewers read it, and `darkroom` with everything, as JSON."""
    info = PngInfo()
    info.add_itxt("parameters", _parameters(facts))
    info.add_itxt("darkroom", json.dumps(facts, ensure_ascii=False))
    return info


def _parameters(facts: dict[str, Any]) -> str:
    """The one-paragraph form that Stable Diffusion's web interfaces write and read."""
    settings = {
        "Steps": facts["steps"],
        "Sampler": facts["scheduler"],
        "CFG scale": facts["guidanceScale"],
        "Seed": facts["seed"],
        "Size": f"{facts['width']}x{facts['height']}",
        "Model": facts["baseModel"],
        "Lora": f"{facts['modelId']}:{facts['loraScale']}" if "modelId" in facts else None,
        "DeepCache": f"interval {facts['cache']['interval']}" if facts["cache"] else None,
        "Version": f"darkroom {facts['versions'].get('darkroom', '')}",
    }
    line = ", ".join(f"{name}: {value}" for name, value in settings.items() if value is not None)
    return "\n".join(filter(None, [facts["prompt"], _negative(facts["negativePrompt"]), line]))


def _negative(prompt: str) -> str:
    return f"Negative prompt: {prompt}" if prompt else ""
