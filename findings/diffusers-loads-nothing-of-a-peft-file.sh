#!/usr/bin/env bash
# diffusers loads nothing of a LoRA that peft itself saved, and does not fail: the pipeline draws as without it.
#
# Versions: diffusers 0.42.1, peft 0.21.2, torch 2.13.0, transformers 5.23.0, Python 3.11.
# Guess:    load_lora_adapter reads what `get_peft_model(unet, config).save_pretrained()` wrote, or raises an exception.
# In fact:  the file's names begin with `base_model.model.`, and diffusers keeps only names that begin with `unet.`
#           (its default prefix): none is left, a warning says so, and the call returns. With `prefix=None` it loads
#           nothing either: the names with peft's prefix match no layer, and it raises instead.
# Output:   default prefix: no exception, 0 of 16 weights loaded
#           prefix=None: NoMatchingPeftModuleError, 0 loaded
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'torch==2.13.0'
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  'torch==2.13.0' 'diffusers==0.42.1' 'peft==0.21.2' 'transformers==5.23.0' 'numpy==2.4.6'

"$folder/venv/bin/python" - "$folder/lora" 2> "$folder/log" <<'PY' || { cat "$folder/log"; exit 1; }
import sys

import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file

def model():
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        layers_per_block=1,
        norm_num_groups=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=8,
        cross_attention_dim=16,
    )

get_peft_model(model(), LoraConfig(r=4, target_modules=["to_q"])).save_pretrained(sys.argv[1])
names = load_file(f"{sys.argv[1]}/adapter_model.safetensors")
assert all(name.startswith("base_model.model.") for name in names)

for arguments in ({}, {"prefix": None}):
    unet, outcome = model(), "no exception"
    try:
        unet.load_lora_adapter(sys.argv[1], weight_name="adapter_model.safetensors", **arguments)
    except Exception as error:
        outcome = type(error).__name__
    loaded = sum(".lora_A." in name or ".lora_B." in name for name in unet.state_dict())
    if arguments:
        print(f"prefix=None: {outcome}, {loaded} loaded")
    else:
        print(f"default prefix: {outcome}, {loaded} of {len(names)} weights loaded")
        assert (outcome, loaded) == ("no exception", 0)
PY
