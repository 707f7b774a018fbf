"""Header entries of a LoRA file that other tools show: kohya's `ss_*`, and Stability AI's model specification.

Names and forms are those of kohya's sd-scripts (`train_network.py`, `library/sai_model_spec.py`, specification 1.0.1).
Dates, session ids and folder names are left out: equal trainings give equal files.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.specs.training import Training
from darkroom_contract.specs.training_choices import Cropping, LoraLayers
from darkroom_runner.lora.adapters import Adapters

_PREDICTIONS = {"epsilon": "epsilon", "v_prediction": "v"}
"""Prediction types: diffusers' name -> the model specification's name."""
_DORA_HINT = (
    "DoRA with magnitudes per output (wd_on_out). ComfyUI, Forge and LyCORIS apply it; A1111 and InvokeAI read the "
    "magnitudes per input, and kohya's scripts ignore them: use pytorch_lora_weights.safetensors with diffusers."
)


def tool_metadata(
    spec: TrainJobSpec,
    adapters: Adapters,
    prediction: str | None,
    side_px: int,
    base_model: str | None,
    captions: Mapping[str, Sequence[str]] | None,
) -> dict[str, str]:
    """All of it but hashes and thumbnail. `captions`: the text of each photo, by instance prompt; None if unknown."""
    entries = {
        **_model_spec(spec, adapters, prediction, side_px),
        **_network(adapters, spec.training),
        **_training(spec, side_px),
        "ss_base_model_version": "sdxl_base_v1-0",
        "ss_v2": "False",
        "ss_output_name": spec.model_id,
        **({"ss_sd_model_name": base_model} if base_model else {}),
        **({} if captions is None else _photos(captions)),
    }
    return {name: text if isinstance(text, str) else str(text) for name, text in entries.items()}


def _model_spec(spec: TrainJobSpec, adapters: Adapters, prediction: str | None, side_px: int) -> dict[str, str]:
    return {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.implementation_version": f"darkroom/{_darkroom_version()}",
        "modelspec.title": spec.model_id,
        "modelspec.resolution": f"{side_px}x{side_px}",
        "modelspec.trigger_phrase": spec.prompt,
        **({"modelspec.prediction_type": _PREDICTIONS[prediction]} if prediction in _PREDICTIONS else {}),
        **({"modelspec.usage_hint": _DORA_HINT} if adapters.dora else {}),
    }


def _darkroom_version() -> str:
    try:
        return version("darkroom")
    except PackageNotFoundError:
        return "unknown"


def _network(adapters: Adapters, training: Training) -> dict[str, object]:
    """The kind of adapters. kohya's own module has no DoRA: such a file is one of LyCORIS."""
    dim = alpha = adapters.rank
    arguments: dict[str, object] = {}
    if training.layers is LoraLayers.ALL:
        arguments |= {"conv_dim": str(dim), "conv_alpha": str(alpha)}
    if adapters.dora:
        arguments |= {"algo": "lora", "dora_wd": "True", "wd_on_output": "True"}
    return {
        "ss_network_module": "lycoris.kohya" if adapters.dora else "networks.lora",
        "ss_network_dim": dim,
        "ss_network_alpha": alpha,
        "ss_network_dropout": training.lora_dropout or None,
        **({"ss_network_args": json.dumps(arguments)} if arguments else {}),
    }


def _training(spec: TrainJobSpec, side_px: int) -> dict[str, object]:
    training = spec.training
    prior = training.prior_preservation
    text_rate = training.text_encoder_learning_rate
    text_rate = training.peak_learning_rate if text_rate is None else text_rate
    return {
        "ss_resolution": (side_px, side_px),
        "ss_steps": spec.max_steps,
        "ss_max_train_steps": spec.max_steps,
        "ss_seed": training.seed,
        "ss_optimizer": training.optimizer.value,
        "ss_learning_rate": training.peak_learning_rate,
        "ss_unet_lr": training.peak_learning_rate,
        "ss_text_encoder_lr": text_rate if training.train_text_encoders else None,
        "ss_lr_scheduler": training.learning_rate_schedule.value,
        "ss_lr_warmup_steps": training.warmup_steps,
        "ss_total_batch_size": training.batch_size,
        "ss_batch_size_per_device": training.batch_size,
        "ss_gradient_accumulation_steps": training.gradient_accumulation_steps,
        "ss_max_grad_norm": training.max_grad_norm,
        "ss_min_snr_gamma": training.min_snr_gamma,
        "ss_noise_offset": training.noise_offset or None,
        "ss_caption_dropout_rate": training.caption_dropout,
        "ss_prior_loss_weight": prior.weight if prior else 1.0,
        "ss_enable_bucket": training.cropping is Cropping.BUCKETS,
        "ss_flip_aug": training.random_flip,
        "ss_shuffle_caption": training.shuffle_tags,
        "ss_keep_tokens": training.keep_tags if training.shuffle_tags else 0,
    }


def _photos(captions: Mapping[str, Sequence[str]]) -> dict[str, object]:
    """Tools suggest the most frequent tags as words of a prompt. kohya groups them by folder, we by instance prompt."""
    frequency = {prompt: dict(sorted(_tags(texts).items())) for prompt, texts in captions.items()}
    return {
        "ss_num_train_images": sum(len(texts) for texts in captions.values()),
        "ss_tag_frequency": json.dumps(frequency, ensure_ascii=False),
    }


def _tags(captions: Sequence[str]) -> Counter[str]:
    tags = (tag.strip().lower() for caption in captions for tag in caption.split(","))
    return Counter(tag for tag in tags if tag)
