"""The U-Net cache with SVD, and with a LoRA on SDXL."""

from typing import Any

import pytest
import torch
from peft import LoraConfig
from PIL import Image

from darkroom_contract.specs.cache import Cache, CachePolicy
from darkroom_runner.models.device import generator
from darkroom_runner.unet_cache.context import unet_cache


def animate(svd: Any, steps: int, max_guidance_scale: float = 3.0) -> torch.Tensor:
    """The latents of a clip: [1, frames, 4, h, w]."""
    latents: torch.Tensor = svd(
        Image.new("RGB", (64, 64), "red"),
        height=64,
        width=64,
        num_inference_steps=steps,
        max_guidance_scale=max_guidance_scale,
        generator=generator(1),
        output_type="latent",
    ).frames
    return latents


@pytest.mark.parametrize("max_guidance_scale", [1.0, 3.0])
def test_full_passes_of_a_clip_are_bit_identical_to_diffusers(svd: Any, max_guidance_scale: float) -> None:
    plain = animate(svd, 3, max_guidance_scale)
    with unet_cache(svd, Cache(threshold=0.0), 3):
        assert torch.equal(animate(svd, 3, max_guidance_scale), plain)


@pytest.mark.parametrize("reuse_guidance", [False, True])
def test_a_clip_is_cached_and_the_pipeline_restored(svd: Any, reuse_guidance: bool) -> None:
    unet, plain = svd.unet, animate(svd, 10)
    with unet_cache(svd, Cache(reuse_guidance=reuse_guidance), 10) as report:
        clip = animate(svd, 10)
    assert report.full < 10 == report.full + report.single + report.shallow
    assert torch.nn.functional.cosine_similarity(clip.flatten(), plain.flatten(), dim=0) > 0.9
    assert svd.unet is unet


def test_a_lora_takes_effect_in_full_passes(sdxl: Any) -> None:
    def generate() -> torch.Tensor:
        latents: torch.Tensor = sdxl(
            "a dog", num_inference_steps=6, generator=generator(1), output_type="latent"
        ).images
        return latents

    without = generate()
    sdxl.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_k", "to_v"], init_lora_weights=False))
    sdxl.unet.eval()
    plain = generate()
    with unet_cache(sdxl, Cache(threshold=0.0), 6):
        assert torch.equal(generate(), plain)
    with unet_cache(sdxl, Cache(policy=CachePolicy.ADAPTIVE), 6):
        cached = generate()
    assert float((cached - plain).norm()) < float((cached - without).norm())
