"""The `parameters` text of an image: its settings in the format of the Stable Diffusion web UIs (A1111, Forge).

Civitai, image viewers and the web UIs themselves read it. Keys, order and quoting follow A1111 1.10
(`modules/processing.py`, `create_infotext`); readers skip keys that they don't know.
"""

import json
from typing import Any

from darkroom_runner.sampling.web_ui_samplers import WebUiSampler

SHORT_HASH_DIGITS = 12
"""A1111 shows this many digits of a LoRA's hash; Civitai calls them AutoV3."""
_SIDE_MULTIPLE_PX = 8


def web_ui_parameters(metadata: dict[str, Any], sampler: WebUiSampler) -> str:
    """Prompt, negative prompt and one line of settings. `sampler` is the one that ran."""
    line = ", ".join(f"{name}: {_quoted(value)}" for name, value in _settings(metadata, sampler) if value is not None)
    negative = metadata["negativePrompt"]
    return "\n".join(filter(None, [metadata["prompt"], negative and f"Negative prompt: {negative}", line]))


def _settings(metadata: dict[str, Any], sampler: WebUiSampler) -> list[tuple[str, Any]]:
    clip_skip = metadata.get("clipSkip")
    return [
        ("Steps", metadata["steps"]),
        ("Sampler", sampler.name),
        ("Schedule type", sampler.schedule_type),
        ("CFG scale", metadata["guidanceScale"]),
        ("Seed", metadata["seed"]),
        ("Size", _first_pass_size(metadata)),
        ("Model", metadata["baseModel"]),
        *_start_image(metadata),
        # The web UIs count from 1: 1 skips nothing.
        ("Clip skip", clip_skip and clip_skip + 1),
        *_upscale(metadata),
        *_loras(metadata),
        ("Cache", _cache(metadata["cache"])),
        ("Lora hashes", _lora_hashes(metadata)),
        ("Version", f"darkroom {metadata['versions'].get('darkroom', '')}"),
    ]


def _cache(cache: dict[str, Any] | None) -> str | None:
    """Policy and interval, such as `Interval 3`, or policy and profile."""
    return f"{cache['policy']} {cache.get('interval') or cache['profile']}" if cache else None


def _first_pass_size(metadata: dict[str, Any]) -> str:
    """The web UIs give the size before the upscaling pass, and its factor."""
    sides = (metadata["width"], metadata["height"])
    if upscale := metadata.get("upscale"):
        sides = tuple(round(side / upscale["factor"] / _SIDE_MULTIPLE_PX) * _SIDE_MULTIPLE_PX for side in sides)
    return f"{sides[0]}x{sides[1]}"


def _start_image(metadata: dict[str, Any]) -> list[tuple[str, Any]]:
    """Image to image and inpainting; the noise strength of the upscaling pass has the same key."""
    start, mask, upscale = (metadata.get(name) for name in ("startImage", "mask", "upscale"))
    source = start or upscale
    entries: list[tuple[str, Any]] = [("Denoising strength", source["strength"])] if source else []
    if not mask:
        return entries
    inverted = [("Mask mode", "Inpaint not masked")] if mask["invert"] else []
    return [*entries, ("Mask blur", mask["blur"]), *inverted, ("Inpaint area", "Whole picture")]


def _upscale(metadata: dict[str, Any]) -> list[tuple[str, Any]]:
    upscale = metadata.get("upscale")
    if not upscale:
        return []
    return [("Hires upscale", upscale["factor"]), ("Hires steps", upscale.get("steps") or metadata["steps"])]


def _loras(metadata: dict[str, Any]) -> list[tuple[str, str]]:
    """Names, scales and, of several LoRAs, the digests of their files, as in earlier releases."""
    if "modelId" in metadata:
        return [("Lora", _Plain(f"{metadata['modelId']}:{metadata['loraScale']}"))]
    named = [(each.get("modelId") or each["uri"], each) for each in metadata.get("loras", ())]
    scales = ", ".join(f"{name}:{each['scale']}" for name, each in named)
    digests = ", ".join(f"{name}: {each['sha256']}" for name, each in named)
    return [("Lora", scales), ("Lora SHA-256", digests)] if named else []


def _lora_hashes(metadata: dict[str, Any]) -> str | None:
    """Of each LoRA the name of its file in the web UIs, and the hash by which they and Civitai find it."""
    single = {"modelId": metadata.get("modelId"), "tensorsSha256": metadata.get("loraTensorsSha256")}
    hashed = [each for each in (single, *metadata.get("loras", ())) if each.get("tensorsSha256")]
    return ", ".join(f"{_file_stem(each)}: {each['tensorsSha256'][:SHORT_HASH_DIGITS]}" for each in hashed) or None


def _file_stem(lora: dict[str, Any]) -> str:
    """A1111 removes colons and commas from names in this list: they separate its entries."""
    name = lora.get("modelId") or lora["uri"].rpartition("/")[2].removesuffix(".safetensors")
    return str(name).replace(":", "").replace(",", "")


class _Plain(str):
    """A value that earlier releases wrote without quotes."""


def _quoted(value: Any) -> str:
    """As A1111 quotes values that contain its separators."""
    text = str(value)
    if isinstance(value, _Plain) or not any(separator in text for separator in ",:\n"):
        return text
    return json.dumps(text, ensure_ascii=False)
