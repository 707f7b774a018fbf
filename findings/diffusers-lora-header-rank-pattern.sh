#!/usr/bin/env bash
# A LoRA file that diffusers 0.42 loads ends in a KeyError in releases before it.
#
# Versions: diffusers 0.36.0 and 0.42.1 with peft 0.21.2, transformers 5.23.0, torch 2.13.0, Python 3.11.
# Guess:    what is in the header `lora_adapter_metadata` is as optional as the header: peft's own LoraConfig has defaults
#           for its entries, so r, lora_alpha and target_modules say all there is to say.
# In fact:  0.36 raises KeyError 'rank_pattern' unless rank_pattern and alpha_pattern are there, even as {}; so do all
#           releases from 0.34, the first that reads the header, to 0.39. 0.42 has a default for them.
# Output:   0.42.1 without the patterns: scale 8.0
#           0.36.0 without the patterns: KeyError: 'rank_pattern'
#           0.36.0 with empty patterns: scale 8.0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install --quiet --disable-pip-version-check)
"${pip[@]}" 'torch==2.13.0'
"${pip[@]}" 'torch==2.13.0' 'diffusers==0.42.1' 'peft==0.21.2' 'transformers==5.23.0' 'numpy==2.4.6'

cat > "$folder/load.py" <<'PY'
import json
import sys

import diffusers
import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import save_file

folder, patterns = sys.argv[1], sys.argv[2] == "with"
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
place = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
tensors = {f"unet.{place}.lora_A.weight": torch.ones(4, 32), f"unet.{place}.lora_B.weight": torch.ones(32, 4)}
config = {"unet.r": 4, "unet.lora_alpha": 32, "unet.target_modules": ["to_q"]}
if patterns:
    config |= {"unet.rank_pattern": {}, "unet.alpha_pattern": {}}
save_file(tensors, f"{folder}/lora.safetensors", metadata={"lora_adapter_metadata": json.dumps(config)})

kind = StableDiffusionXLPipeline
try:
    state, alphas, header = kind.lora_state_dict(folder, weight_name="lora.safetensors", return_lora_metadata=True)
    kind.load_lora_into_unet(state, network_alphas=alphas, unet=unet, adapter_name="x", metadata=header)
    scales = {each.scaling["x"] for each in unet.modules() if "x" in getattr(each, "scaling", {})}
    result = f"scale {scales.pop()}"
except KeyError as error:
    result = f"KeyError: {error}"
print(f"{diffusers.__version__} {'with empty' if patterns else 'without the'} patterns: {result}")
PY

run() { "$folder/venv/bin/python" "$folder/load.py" "$folder" "$1" 2> "$folder/log" || { cat "$folder/log" >&2; exit 1; }; }
{
  run without
  "${pip[@]}" --no-deps 'diffusers==0.36.0'
  run without
  run with
} | tee "$folder/found"
diff "$folder/found" - <<'EXPECTED'
0.42.1 without the patterns: scale 8.0
0.36.0 without the patterns: KeyError: 'rank_pattern'
0.36.0 with empty patterns: scale 8.0
EXPECTED
