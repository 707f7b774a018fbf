"""LoRA adapters: put on, written to a file, loaded from one. Called by both jobs.

The file is loadable by plain `pipeline.load_lora_weights`. It holds peft's own names (`lora_A`, `lora_B`): diffusers'
older names mix with them once convolutions are adapted, and such a file loads only in part, with a mere warning.
So too every load is checked: what the pipeline holds afterwards must be what the file holds.

The factor alpha / rank is folded into `lora_B`, so that in the file alpha equals the rank: loaders that read tensors
alone, and diffusers before 0.34, take it for that. Files of Darkroom 0.1 have it in the header; they are loaded alike.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors import SafetensorError, safe_open

from darkroom_contract.specs import LoraLayers, Training
from darkroom_runner.errors import ModelIncompatibleError, first_line
from darkroom_runner.lora_file import write_safetensors

log = logging.getLogger(__name__)

ADAPTER = "darkroom"

_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
_FEED_FORWARD = ("proj_in", "proj_out", "ff.net.0.proj", "ff.net.2")
_CONVOLUTIONS = ("conv1", "conv2", "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv")
_TEXT_ENCODER = ("q_proj", "k_proj", "v_proj", "out_proj")

UNET_TARGETS = {LoraLayers.ATTENTION: _ATTENTION, LoraLayers.ALL: (*_ATTENTION, *_FEED_FORWARD, *_CONVOLUTIONS)}
TEXT_ENCODERS = ("text_encoder", "text_encoder_2")

_CONFIG_KEY = "lora_adapter_metadata"
"""Where diffusers looks for the adapters' configuration in a file's metadata."""


@dataclass(frozen=True)
class Adapters:
    """The adapters of one training run, by the pipeline's component."""

    models: dict[str, torch.nn.Module]
    targets: dict[str, tuple[str, ...]]
    rank: int
    alpha: int

    @property
    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """What is trained, by component and name."""
        return {
            f"{component}.{name}": parameter
            for component, model in self.models.items()
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        }

    def state(self) -> dict[str, torch.Tensor]:
        """Every weight of the adapters, under the names of the file."""
        return {
            f"{component}.{name}": tensor.detach().to("cpu", torch.float32).contiguous()
            for component, model in self.models.items()
            for name, tensor in _adapter_state(component, model).items()
        }

    def folded_state(self) -> dict[str, torch.Tensor]:
        """The same with every `lora_B` times alpha / rank: exact for powers of two, else rounded once, to 6e-8."""
        factor = self.alpha / self.rank
        return {name: tensor * factor if ".lora_B." in name else tensor for name, tensor in self.state().items()}


def add_adapters(pipeline: Any, training: Training) -> Adapters:
    """Freeze the pipeline's models and put fresh trainable adapters, in float32, on those that the run trains."""
    for component in ("unet", "vae", *TEXT_ENCODERS):
        getattr(pipeline, component).requires_grad_(False)
    targets = {"unet": UNET_TARGETS[training.layers]}
    if training.train_text_encoders:
        targets |= dict.fromkeys(TEXT_ENCODERS, _TEXT_ENCODER)
    models = {component: getattr(pipeline, component) for component in targets}
    alpha = training.alpha or training.rank
    for component, model in models.items():
        model.add_adapter(_config(training.rank, alpha, targets[component]), adapter_name=ADAPTER)
        for parameter in model.parameters():
            if parameter.requires_grad:
                # Adam's steps are lost in half precision.
                parameter.data = parameter.data.float()
    return Adapters(models, targets, training.rank, alpha)


def _config(rank: int, alpha: int, targets: tuple[str, ...]) -> LoraConfig:
    return LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(targets), init_lora_weights="gaussian")


def save(adapters: Adapters, path: Path, facts: dict[str, str]) -> None:
    """Write the adapters to one file, with `facts` beside what diffusers needs to load them exactly."""
    config = {
        f"{component}.{name}": value
        for component, targets in adapters.targets.items()
        for name, value in _loading_config(adapters, targets).items()
    }
    metadata = {"format": "pt", _CONFIG_KEY: json.dumps(config, sort_keys=True), **facts}
    write_safetensors(adapters.folded_state(), path, metadata)


def _loading_config(adapters: Adapters, targets: tuple[str, ...]) -> dict[str, Any]:
    """The few arguments of `LoraConfig` that every release of peft knows, and no path of this machine.

    diffusers 0.34 to 0.39 raise a KeyError when the patterns are missing.
    """
    return {
        "r": adapters.rank,
        "lora_alpha": adapters.rank,
        "rank_pattern": {},
        "alpha_pattern": {},
        "target_modules": list(targets),
    }


def load(pipeline: Any, path: Path, scale: float, model_id: str) -> None:
    """Put a LoRA on a pipeline at a strength. Raises `ModelIncompatibleError` unless every weight found its place.

    After a failure the pipeline is in no defined state and must not be used.
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
    _check_loaded(pipeline, expected, model_id)
    pipeline.set_adapters([ADAPTER], adapter_weights=[scale])


def _check_loaded(pipeline: Any, expected: set[str], model_id: str) -> None:
    loaded = {
        f"{component}.{name}"
        for component in ("unet", *TEXT_ENCODERS)
        for name in _loaded_names(component, getattr(pipeline, component))
    }
    if not expected or loaded != expected:
        raise ModelIncompatibleError(
            f"Model {model_id!r} does not fit this base model: {len(expected - loaded)} of its {len(expected)} weights "
            f"have no place in it and {len(loaded - expected)} are missing. Use the base model that it was trained on."
        )


def _loaded_names(component: str, model: torch.nn.Module) -> list[str]:
    if ADAPTER not in getattr(model, "peft_config", {}):
        return []
    return list(_adapter_state(component, model))


def _adapter_state(component: str, model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The adapter's weights by name. CLIP's text model lost its outer `text_model` in transformers 5; files keep it."""
    state = get_peft_model_state_dict(model, adapter_name=ADAPTER)
    prefix = "text_model." if component in TEXT_ENCODERS and not hasattr(model, "text_model") else ""
    return {prefix + name: tensor for name, tensor in state.items()}
