"""Saves LoRA files in the format that diffusers' `load_lora_weights` reads, and loads one LoRA file.

Weights keep peft's names (`lora_A`, `lora_B`). With adapted convolutions, diffusers' older names come out mixed, and
such a file loads only partly, with just a warning. `load_lora` reads all forms and verifies every load.

The factor alpha / rank is folded into `lora_B`, so alpha equals the rank in the file: loaders that read only tensors,
and diffusers before 0.34, assume that. Files of Darkroom 0.1 have alpha in the header instead and load the same way.
"""

import json
from pathlib import Path
from typing import Any

from darkroom_runner.lora.adapters import Adapters
from darkroom_runner.lora.loading import LoraToLoad, load_loras
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
    """Load one LoRA file, of any supported form, into a pipeline without any: see `loading.load_loras`.

    Raises `ModelIncompatibleError` if the file can't be read or not every weight matches the base model. The pipeline
    is then in an undefined state and must not be used.
    """
    load_loras(pipeline, [LoraToLoad(path, scale, model_id)])
