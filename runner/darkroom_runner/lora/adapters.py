"""LoRA adapters (peft) on the models of an SDXL pipeline: which layers get them, and their weights by name.

Training adds adapters with `add_adapters`. The two file formats are in `diffusers_format` and `kohya_format`.
"""

from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from darkroom_contract.specs.training import Training
from darkroom_contract.specs.training_choices import LoraLayers

ADAPTER = "darkroom"
"""peft's name of the adapter, in training and in inference."""

MAGNITUDE = "lora_magnitude_vector"
"""peft's name of the trained norms of a DoRA's weights."""

_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
_FEED_FORWARD = ("proj_in", "proj_out", "ff.net.0.proj", "ff.net.2")
_CONVOLUTIONS = ("conv1", "conv2", "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv")
_TEXT_ENCODER = ("q_proj", "k_proj", "v_proj", "out_proj")

UNET_TARGETS = {LoraLayers.ATTENTION: _ATTENTION, LoraLayers.ALL: (*_ATTENTION, *_FEED_FORWARD, *_CONVOLUTIONS)}
TEXT_ENCODERS = ("text_encoder", "text_encoder_2")


@dataclass(frozen=True)
class Adapters:
    """The adapters of one training run, by pipeline component."""

    models: dict[str, torch.nn.Module]
    targets: dict[str, tuple[str, ...]]
    rank: int
    alpha: int
    dora: bool = False

    @property
    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """The trained parameters, by component and name."""
        return {
            f"{component}.{name}": parameter
            for component, model in self.models.items()
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        }

    def state(self) -> dict[str, torch.Tensor]:
        """All adapter weights under their names in the file: float32, CPU, contiguous."""
        return {
            f"{component}.{name}": tensor.detach().to("cpu", torch.float32).contiguous()
            for component, model in self.models.items()
            for name, tensor in adapter_state(component, model).items()
        }

    def folded_state(self) -> dict[str, torch.Tensor]:
        """`state` with every `lora_B` multiplied by alpha / rank, so that alpha equals the rank in the file.

        Exact where the factor is a power of two; otherwise rounded once in float32 (relative error 6e-8). DoRA's
        magnitudes stay as they are: they scale the base weight plus the scaled product of the matrices, which is equal.
        """
        factor = self.alpha / self.rank
        return {name: tensor * factor if ".lora_B." in name else tensor for name, tensor in self.state().items()}


def add_adapters(pipeline: Any, training: Training) -> Adapters:
    """Freeze the pipeline's models and add trainable float32 adapters to those that the job trains."""
    for component in ("unet", "vae", *TEXT_ENCODERS):
        getattr(pipeline, component).requires_grad_(False)
    targets = {"unet": UNET_TARGETS[training.layers]}
    if training.train_text_encoders:
        targets |= dict.fromkeys(TEXT_ENCODERS, _TEXT_ENCODER)
    models = {component: getattr(pipeline, component) for component in targets}
    alpha = training.alpha or training.rank
    for component, model in models.items():
        model.add_adapter(_config(training, alpha, targets[component]), adapter_name=ADAPTER)
        for parameter in model.parameters():
            if parameter.requires_grad:
                # Half precision would round Adam's small updates away.
                parameter.data = parameter.data.float()
    return Adapters(models, targets, training.rank, alpha, training.dora)


def _config(training: Training, alpha: int, targets: tuple[str, ...]) -> LoraConfig:
    return LoraConfig(
        r=training.rank,
        lora_alpha=alpha,
        target_modules=list(targets),
        init_lora_weights="gaussian",
        use_dora=training.dora,
        lora_dropout=training.lora_dropout,
    )


def adapter_state(component: str, model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A component's adapter weights under peft's names (`….lora_A.weight`; `….lora_magnitude_vector` of a DoRA).

    transformers 5 removed the outer `text_model` of `CLIPTextModel`; names in files keep it. It also loads the
    magnitudes of a text encoder only under the name of their parameter, with `.weight`: without it they stay those of
    the base model, with just a report. diffusers' loader for U-Nets accepts both.
    """
    state = get_peft_model_state_dict(model, adapter_name=ADAPTER)
    if component not in TEXT_ENCODERS:
        return state
    prefix = "" if hasattr(model, "text_model") else "text_model."
    return {f"{prefix}{name}{'.weight' if name.endswith(MAGNITUDE) else ''}": each for name, each in state.items()}
