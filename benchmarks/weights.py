"""Sizes of SDXL's, SVD's and LoRA weights, computed from the models' configuration without loading weights.

    python benchmarks/weights.py

Nothing is allocated, so it runs anywhere in seconds. Activations and CUDA's own memory are not included.
Source of SVD's values: https://huggingface.co/stabilityai/stable-video-diffusion-img2vid-xt (unet, image_encoder, vae)
"""

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLTemporalDecoder,
    UNet2DConditionModel,
    UNetSpatioTemporalConditionModel,
)
from peft import LoraConfig
from sdxl_base import TEXT_ENCODER, TEXT_ENCODER_2, UNET, VAE
from svd_base import IMAGE_ENCODER
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from darkroom_contract.specs.training_choices import LoraLayers
from darkroom_runner.lora.adapters import UNET_TARGETS
from darkroom_runner.run.library_logging import configure_library_logging

GIB, MIB = 2**30, 2**20
HALF_BYTES = 2
FULL_BYTES = 4
TRAINED_BYTES = 16
"""Weight, gradient and AdamW's two moments, each in float32."""
RANKS = (16, 32, 64)

VIDEO_VAE = {key: VAE[key] for key in ("block_out_channels", "down_block_types", "layers_per_block")}


def main() -> None:
    configure_library_logging()
    for name, models in base_models().items():
        counts = {part: count(model) for part, model in models.items()}
        parts = ", ".join(f"{part} {number * HALF_BYTES / GIB:.2f}" for part, number in counts.items())
        print(f"{name}, GiB in half precision: {sum(counts.values()) * HALF_BYTES / GIB:.2f} ({parts})")
    for layers in LoraLayers:
        for rank in RANKS:
            trained = count_lora(layers, rank)
            print(
                f"LoRA of SDXL, layers {layers}, rank {rank}: file {trained * FULL_BYTES / MIB:.0f} MiB, "
                f"while it trains {trained * TRAINED_BYTES / MIB:.0f} MiB"
            )


def base_models() -> dict[str, dict[str, torch.nn.Module]]:
    with torch.device("meta"):
        return {
            "SDXL": {
                "unet": UNet2DConditionModel(**UNET),
                "text_encoder": CLIPTextModel(CLIPTextConfig(**TEXT_ENCODER)),
                "text_encoder_2": CLIPTextModelWithProjection(CLIPTextConfig(**TEXT_ENCODER_2)),
                "vae": AutoencoderKL(**VAE),
            },
            "SVD-XT": {
                "unet": UNetSpatioTemporalConditionModel(num_frames=25),
                "image_encoder": CLIPVisionModelWithProjection(CLIPVisionConfig(**IMAGE_ENCODER)),
                "vae": AutoencoderKLTemporalDecoder(latent_channels=4, **VIDEO_VAE),
            },
        }


def count(model: torch.nn.Module, *, trained_only: bool = False) -> int:
    return sum(each.numel() for each in model.parameters() if each.requires_grad or not trained_only)


def count_lora(layers: LoraLayers, rank: int) -> int:
    with torch.device("meta"):
        unet = UNet2DConditionModel(**UNET)
    unet.requires_grad_(False)
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=list(UNET_TARGETS[layers])))
    return count(unet, trained_only=True)


if __name__ == "__main__":
    main()
