"""Saves and loads LoRA files in the format that diffusers' `load_lora_weights` reads.

Weights keep peft's names (`lora_A`, `lora_B`). With adapted convolutions, diffusers' older names come out mixed, and
such a file loads only partly, with just a warning. For the same reason `load_lora` verifies every load: the pipeline
must end up with exactly the weights that the file has.

The factor alpha / rank is folded into `lora_B`, so alpha equals the rank in the file: loaders that read only tensors,
and diffusers before 0.34, assume that. Files of Darkroom 0.1 have alpha in the header instead and load the same way.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from darkroom_runner.errors import ModelIncompatibleError, first_line
from darkroom_runner.lora.adapters import ADAPTER, TEXT_ENCODERS, Adapters, adapter_state
from darkroom_runner.lora.safetensors_file import write_safetensors

_CONFIG_KEY = "lora_adapter_metadata"
"""Metadata key under which diffusers reads the adapter configuration."""


def save_lora(adapters: Adapters, path: Path, metadata: dict[str, str]) -> None:
    """Write all adapters to one safetensors file: diffusers' adapter configuration and `metadata` in its header."""
    config = {
        f"{component}.{name}": value
        for component, targets in adapters.targets.items()
        for name, value in _loading_config(adapters, targets).items()
    }
    header = {"format": "pt", _CONFIG_KEY: json.dumps(config, sort_keys=True), **metadata}
    write_safetensors(adapters.folded_state(), path, header)


def _loading_config(adapters: Adapters, targets: tuple[str, ...]) -> dict[str, Any]:
    """The arguments of `LoraConfig` that every release of peft knows, without any local path.

    diffusers 0.34 to 0.39 raise a KeyError when the patterns are missing. Without `use_dora` diffusers would drop the
    magnitudes of a DoRA.
    """
    config = {
        "r": adapters.rank,
        "lora_alpha": adapters.rank,
        "rank_pattern": {},
        "alpha_pattern": {},
        "target_modules": list(targets),
    }
    return config | ({"use_dora": True} if adapters.dora else {})


def load_lora(pipeline: Any, path: Path, scale: float, model_id: str) -> None:
    """Load a LoRA file into a pipeline with strength `scale`.

    Raises `ModelIncompatibleError` if the file can't be read or not every weight matches the base model. The pipeline
    is then in an undefined state and must not be used.
    """
    try:
        with safe_open(path, framework="pt") as file:
            expected = set(file.keys())
        pipeline.load_lora_weights(str(path.parent), weight_name=path.name, adapter_name=ADAPTER, use_safetensors=True)
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise ModelIncompatibleError(
            f"Model {model_id!r} does not fit this base model: {first_line(error)} "
            "Use the base model that it was trained on, or train it again on this one."
        ) from error
    _require_complete(pipeline, expected, model_id)
    pipeline.set_adapters([ADAPTER], adapter_weights=[scale])


def _require_complete(pipeline: Any, expected: set[str], model_id: str) -> None:
    loaded = {
        f"{component}.{name}"
        for component in ("unet", *TEXT_ENCODERS)
        for name in _loaded_names(component, getattr(pipeline, component))
    }
    if not expected or loaded != expected:
        raise ModelIncompatibleError(
            f"Model {model_id!r} does not fit this base model: {len(expected - loaded)} of its {len(expected)} weights "
            f"match no layer and {len(loaded - expected)} are missing. Use the base model that it was trained on."
        )


def _loaded_names(component: str, model: torch.nn.Module) -> list[str]:
    if ADAPTER not in getattr(model, "peft_config", {}):
        return []
    return list(adapter_state(component, model))
