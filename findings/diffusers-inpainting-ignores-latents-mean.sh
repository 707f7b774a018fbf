#!/usr/bin/env bash
# diffusers' SDXL inpainting encodes a picture without latents_mean and latents_std, and decodes with them.
#
# Versions: diffusers 0.42.1, transformers 5.23.0, torch 2.13.0, Python 3.11.
# Guess:    a VAE with latents_mean and latents_std in its configuration (Playground v2.5) is encoded and decoded with
#           the same shift and spread: what the mask does not paint stays as it was.
# In fact:  the inpainting pipeline only multiplies by scaling_factor when it encodes, but shifts and spreads when it
#           decodes. With a mask that paints nothing the latents are the same with and without latents_mean, and the
#           picture is another one. Image to image does both.
# Output:   nothing painted, equal latents with and without latents_mean: True
#           mean difference of the two pictures, of 255: 34
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'torch==2.13.0'
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  'torch==2.13.0' 'diffusers==0.42.1' 'transformers==5.23.0' 'numpy==2.4.6' 'pillow==13.0.0'

"$folder/venv/bin/python" - 2> "$folder/log" <<'PY' || { cat "$folder/log"; exit 1; }
import numpy as np
import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLInpaintPipeline, UNet2DConditionModel
from PIL import Image

torch.manual_seed(0)
PICTURE = Image.effect_noise((64, 64), 60).convert("RGB")
BLOCKS = {"norm_num_groups": 8, "layers_per_block": 1}
vae = AutoencoderKL(
    block_out_channels=(16, 32),
    down_block_types=("DownEncoderBlock2D",) * 2,
    up_block_types=("UpDecoderBlock2D",) * 2,
    latent_channels=4,
    force_upcast=False,
    **BLOCKS,
)
unet = UNet2DConditionModel(
    block_out_channels=(32, 64),
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    cross_attention_dim=16,
    addition_embed_type="text_time",
    addition_time_embed_dim=4,
    projection_class_embeddings_input_dim=16 + 6 * 4,
    **BLOCKS,
)
pipeline = StableDiffusionXLInpaintPipeline(
    vae=vae,
    unet=unet,
    scheduler=EulerDiscreteScheduler(),
    text_encoder=None,
    text_encoder_2=None,
    tokenizer=None,
    tokenizer_2=None,
    add_watermarker=False,
)
pipeline.set_progress_bar_config(disable=True)
EMBEDDINGS = {"prompt_embeds": torch.zeros(1, 4, 16), "pooled_prompt_embeds": torch.zeros(1, 16)}


def inpaint(output_type: str) -> torch.Tensor:
    """With a mask that paints nothing."""
    return pipeline(
        **EMBEDDINGS,
        image=PICTURE,
        mask_image=Image.new("L", PICTURE.size),
        width=64,
        height=64,
        strength=0.5,
        num_inference_steps=4,
        guidance_scale=1.0,
        generator=torch.Generator().manual_seed(0),
        output_type=output_type,
    ).images


plain = inpaint("latent"), inpaint("np")
# vae/config.json of playgroundai/playground-v2.5-1024px-aesthetic
vae.register_to_config(latents_mean=[-1.6574, 1.886, -1.383, 2.5155], latents_std=[8.4927, 5.9022, 6.5498, 5.2299])
shifted = inpaint("latent"), inpaint("np")

equal = torch.equal(plain[0], shifted[0])
difference = 255 * float(np.abs(plain[1] - shifted[1]).mean())
print("nothing painted, equal latents with and without latents_mean:", equal)
print(f"mean difference of the two pictures, of 255: {difference:.0f}")
assert equal
assert difference > 5
PY
