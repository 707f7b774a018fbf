#!/usr/bin/env bash
# diffusers' from_pipe converts the models of the pipeline that it was given to float32: the original's memory doubles.
#
# Versions: diffusers 0.42.1, transformers 5.23.0, torch 2.13.0, Python 3.11.
# Guess:    "create a new pipeline from the existing pipeline components without reallocating additional memory" (its
#           docstring) leaves the given pipeline as it is.
# In fact:  without `dtype`, from_pipe ends with `new_pipeline.to(torch.float32)`. The models are shared, so that those of
#           the original are float32 from then on, and take twice the memory. Nothing is logged. The constructor
#           (`NewPipeline(**pipeline.components)`) leaves them alone.
# Output:   original before: torch.float16, 100%; after the constructor: torch.float16, 100%; after from_pipe: torch.float32, 200%
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'torch==2.13.0'
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  'torch==2.13.0' 'diffusers==0.42.1' 'transformers==5.23.0' 'numpy==2.4.6'

"$folder/venv/bin/python" - 2> "$folder/log" <<'PY' || { cat "$folder/log"; exit 1; }
import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)

pipeline = StableDiffusionXLPipeline(
    vae=AutoencoderKL(block_out_channels=(32,), latent_channels=4, norm_num_groups=8),
    unet=UNet2DConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
    ),
    scheduler=EulerDiscreteScheduler(),
    text_encoder=None,
    text_encoder_2=None,
    tokenizer=None,
    tokenizer_2=None,
    add_watermarker=False,
)
pipeline.to(torch.float16)


def size() -> tuple[torch.dtype, int]:
    models = (pipeline.vae, pipeline.unet)
    return pipeline.unet.dtype, sum(each.nbytes for model in models for each in model.parameters())


before = size()
StableDiffusionXLImg2ImgPipeline(**pipeline.components, add_watermarker=False)
constructed = size()
StableDiffusionXLImg2ImgPipeline.from_pipe(pipeline)
after = size()
percent = [f"{dtype}, {count / before[1]:.0%}" for dtype, count in (before, constructed, after)]
print(f"original before: {percent[0]}; after the constructor: {percent[1]}; after from_pipe: {percent[2]}")
assert constructed == before == (torch.float16, before[1])
assert after == (torch.float32, 2 * before[1])
PY
