#!/usr/bin/env bash
# LyCORIS trains a LoHa or LoKr with alpha / rank, and merges it with (alpha / rank)²: the merged model is another one.
#
# Versions: lycoris-lora 4.1.3, torch 2.13.0, numpy 2.4.6, Python 3.11.
# Guess:    a layer gives the same output with the trained module in its place as after the module was merged into it.
# In fact:  get_weight() of LoHa and LoKr contains the factor, which forward() applies as it is, and get_diff_weight()
#           multiplies by it once more: with alpha 2 and rank 4 the merged layer has half of the trained effect. LoCon,
#           plain LoRA in the same package, gives the same both ways.
# Output:   LoConModule: the merged layer has 1.00 of the trained effect
#           LohaModule: the merged layer has 0.50 of the trained effect
#           LokrModule: the merged layer has 0.50 of the trained effect
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'torch==2.13.0'
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  'torch==2.13.0' 'lycoris-lora==4.1.3' 'numpy==2.4.6'

"$folder/venv/bin/python" - 2> "$folder/log" <<'PY' || { cat "$folder/log"; exit 1; }
import torch
from lycoris import LoConModule, LohaModule, LokrModule

found = {}
for kind in (LoConModule, LohaModule, LokrModule):
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(128, 128), torch.randn(3, 128)
    base = layer(x).detach()
    module = kind("lora_unet_layer", layer, lora_dim=4, alpha=2.0).eval()
    for name, parameter in module.named_parameters():
        torch.nn.init.normal_(parameter.data, std=0.3)
    trained = module(x).detach() - base
    module.merge_to(1.0)
    merged = layer(x).detach() - base
    found[kind.__name__] = float((merged * trained).sum() / (trained * trained).sum())
    print(f"{kind.__name__}: the merged layer has {found[kind.__name__]:.2f} of the trained effect")
assert abs(found["LoConModule"] - 1.0) < 0.01
assert abs(found["LohaModule"] - 0.5) < 0.01
assert abs(found["LokrModule"] - 0.5) < 0.01
PY
