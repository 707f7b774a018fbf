#!/usr/bin/env bash
# A DoRA of a text encoder, saved and loaded by diffusers' own methods, comes back with the magnitudes of the base model.
#
# Versions: diffusers 0.42.1, peft 0.21.2, torch 2.13.0, transformers 5.23.0, Python 3.11.
# Guess:    `save_lora_weights` and `load_lora_weights` restore a DoRA, or refuse it.
# In fact:  peft's `get_peft_model_state_dict` names the magnitudes `….lora_magnitude_vector`, and diffusers writes that.
#           The U-Net's are loaded by peft, which adds the parameter's `.weight`; the text encoders' by transformers 5,
#           which does not. They keep the norms of the base model, all else is loaded, and nothing is raised: just a
#           report of unexpected and missing keys. With `.weight` in the file both load.
# Output:   magnitudes restored: U-Net 8 of 8, text encoder 0 of 8
#           with .weight in the names: U-Net 8 of 8, text encoder 8 of 8
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'torch==2.13.0'
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  'torch==2.13.0' 'diffusers==0.42.1' 'peft==0.21.2' 'transformers==5.23.0' 'numpy==2.4.6'

cd "$folder"
"$folder/venv/bin/python" - 2> "$folder/log" <<'PY' || { cat "$folder/log"; exit 1; }
import copy

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

torch.manual_seed(0)
unet = UNet2DConditionModel(
    sample_size=8,
    block_out_channels=(32, 64),
    layers_per_block=1,
    norm_num_groups=8,
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("UpBlock2D", "UpBlock2D"),
    attention_head_dim=8,
    cross_attention_dim=16,
)
clip = CLIPTextModel(
    CLIPTextConfig(
        vocab_size=64, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        bos_token_id=62, eos_token_id=63,
    )
)
base = {"unet": unet, "text_encoder": clip}


def pipeline():
    return StableDiffusionXLPipeline(
        vae=AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, down_block_types=("DownEncoderBlock2D",),
                          up_block_types=("UpDecoderBlock2D",)),
        text_encoder_2=None, tokenizer=None, tokenizer_2=None,
        scheduler=EulerDiscreteScheduler(), **copy.deepcopy(base),
    )


def magnitudes(model):
    return {name: parameter for name, parameter in model.named_parameters() if "magnitude" in name}


trained = pipeline()
for name, targets in (("unet", ["to_q", "to_v"]), ("text_encoder", ["q_proj", "k_proj", "v_proj", "out_proj"])):
    getattr(trained, name).add_adapter(LoraConfig(r=4, target_modules=targets, use_dora=True), adapter_name="default_0")
    for parameter in magnitudes(getattr(trained, name)).values():
        parameter.data *= 1.5
trained.save_lora_weights(
    "saved",
    unet_lora_layers=get_peft_model_state_dict(trained.unet, adapter_name="default_0"),
    text_encoder_lora_layers=get_peft_model_state_dict(trained.text_encoder, adapter_name="default_0"),
)


def restored(folder):
    loaded = pipeline()
    loaded.load_lora_weights(folder)
    counts = {}
    for name in base:
        wanted, found = magnitudes(getattr(trained, name)), magnitudes(getattr(loaded, name))
        counts[name] = (sum(torch.equal(wanted[key], found[key]) for key in wanted), len(wanted))
    return counts


def told(counts):
    return "U-Net {} of {}, text encoder {} of {}".format(*counts["unet"], *counts["text_encoder"])


plain = restored("saved")
print("magnitudes restored:", told(plain))
state = load_file("saved/pytorch_lora_weights.safetensors")
assert not [name for name in state if name.endswith("magnitude_vector.weight")]
renamed = {name + ".weight" if name.endswith("magnitude_vector") else name: each for name, each in state.items()}
save_file(renamed, "saved/pytorch_lora_weights.safetensors")
with_weight = restored("saved")
print("with .weight in the names:", told(with_weight))
assert plain == {"unet": (8, 8), "text_encoder": (0, 8)}, plain
assert with_weight == {"unet": (8, 8), "text_encoder": (8, 8)}, with_weight
PY
