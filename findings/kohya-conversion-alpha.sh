#!/usr/bin/env bash
# diffusers' convert_state_dict_to_kohya writes alpha = rank whatever the LoRA's alpha is: it then acts at another strength.
#
# Versions: diffusers 0.42.1, peft 0.21.2, torch 2.13.0, transformers 5.23.0, Python 3.11.
# Guess:    a LoRA of rank 4 and alpha 32 becomes a Kohya file whose `.alpha` is 32; or the factor is folded in.
# In fact:  `.alpha` is 4 and the matrices are unchanged: every tool that reads the file applies an eighth of what was
#           trained. The function sees tensors only, and has no parameter for alpha. It also keeps diffusers' names of
#           the U-Net's blocks, in place of the SGM names that Kohya's own SDXL files have.
# Output:   alpha in the Kohya file: 4.0 (trained with 32); matrices unchanged: True
#           name: lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'torch==2.13.0'
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  'torch==2.13.0' 'diffusers==0.42.1' 'peft==0.21.2' 'transformers==5.23.0' 'numpy==2.4.6'

"$folder/venv/bin/python" - 2> "$folder/log" <<'PY' || { cat "$folder/log"; exit 1; }
import torch
from diffusers import UNet2DConditionModel
from diffusers.utils import convert_all_state_dict_to_peft, convert_state_dict_to_kohya
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

unet = UNet2DConditionModel(
    sample_size=8,
    block_out_channels=(32, 64),
    layers_per_block=1,
    norm_num_groups=8,
    down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    attention_head_dim=8,
    cross_attention_dim=16,
)
unet.add_adapter(LoraConfig(r=4, lora_alpha=32, target_modules=["to_q"], init_lora_weights="gaussian"))
state = {f"unet.{name}": tensor for name, tensor in get_peft_model_state_dict(unet).items()}

kohya = convert_state_dict_to_kohya(convert_all_state_dict_to_peft(state))

name = next(key for key in kohya if key.endswith("attn1_to_q.alpha")).removesuffix(".alpha")
source = name.removeprefix("lora_")
alpha = float(kohya[name + ".alpha"])
ours = next(value for key, value in state.items() if key.replace(".", "_").startswith(source) and "lora_A" in key)
same = torch.equal(kohya[name + ".lora_down.weight"], ours)
print(f"alpha in the Kohya file: {alpha} (trained with 32); matrices unchanged: {same}")
print(f"name: {name}")
assert (alpha, same) == (4.0, True)
assert "down_blocks" in name
PY
