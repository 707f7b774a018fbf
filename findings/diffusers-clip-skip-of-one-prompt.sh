#!/usr/bin/env bash
# diffusers applies clip_skip to the prompt and not to the negative prompt: guidance subtracts another layer's features.
#
# Versions: diffusers 0.42.1, transformers 5.23.0, torch 2.13.0, Python 3.11.
# Guess:    clip_skip, "number of layers to be skipped from CLIP while computing the prompt embeddings", applies to both
#           prompts, as in A1111 and ComfyUI: the same text has the same embeddings.
# In fact:  SDXL's encode_prompt takes the negative prompt from the penultimate layer whatever clip_skip is. With it, one
#           text given as both prompts has different embeddings, so that guidance changes an image for which it should
#           have no effect.
# Output:   one text as both prompts, equal embeddings: True without clip_skip, False with clip_skip=1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'torch==2.13.0'
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  'torch==2.13.0' 'diffusers==0.42.1' 'transformers==5.23.0' 'numpy==2.4.6'

"$folder/venv/bin/python" - 2> "$folder/log" <<'PY' || { cat "$folder/log"; exit 1; }
import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

words = [*"abcdefg", *(f"{each}</w>" for each in "abcdefg"), "<|startoftext|>", "<|endoftext|>"]
tokenizer = CLIPTokenizer(
    vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=77, pad_token=words[-1]
)
config = CLIPTextConfig(
    vocab_size=len(words),
    hidden_size=16,
    intermediate_size=32,
    num_hidden_layers=4,
    num_attention_heads=2,
    projection_dim=16,
    bos_token_id=len(words) - 2,
    eos_token_id=len(words) - 1,
)
pipeline = StableDiffusionXLPipeline(
    vae=AutoencoderKL(block_out_channels=(32,), latent_channels=4, norm_num_groups=8),
    unet=UNet2DConditionModel(block_out_channels=(32, 32, 32, 32), layers_per_block=1, norm_num_groups=8),
    scheduler=EulerDiscreteScheduler(),
    text_encoder=CLIPTextModel(config).eval(),
    text_encoder_2=CLIPTextModelWithProjection(config).eval(),
    tokenizer=tokenizer,
    tokenizer_2=tokenizer,
    add_watermarker=False,
)


@torch.no_grad()
def embeddings(clip_skip: int | None) -> tuple[torch.Tensor, torch.Tensor]:
    prompt, negative, *_ = pipeline.encode_prompt("a b", negative_prompt="a b", clip_skip=clip_skip)
    return prompt, negative


without, skipped = embeddings(None), embeddings(1)
equal = [torch.equal(*each) for each in (without, skipped)]
print(f"one text as both prompts, equal embeddings: {equal[0]} without clip_skip, {equal[1]} with clip_skip=1")
assert equal == [True, False]
assert torch.equal(without[1], skipped[1])
PY
