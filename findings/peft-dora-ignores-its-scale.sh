#!/usr/bin/env bash
# A DoRA's scale is no strength: at half scale it has nearly its whole effect, and at 0 it is not the base model.
#
# Versions: peft 0.21.2, torch 2.13.0, Python 3.11.
# Guess:    an adapter's scale (`set_scale`) goes from the base model at 0 to the whole adapter at 1, for a DoRA as for a
#           LoRA.
# In fact:  the scale multiplies only the low-rank product, inside DoRA's normalization. The learned magnitudes stay: at 0
#           a layer has the base model's directions with the magnitudes of the adapter. Only `disable_adapter` gives the
#           base model.
# Output:   effect at scale 1, 0.5, 0 and disabled, relative to scale 1
#           LoRA: 1.00, 0.50, 0.00, 0.00
#           DoRA: 1.00, 0.96, 0.93, 0.00
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'torch==2.13.0'
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  'torch==2.13.0' 'peft==0.21.2' 'transformers==5.23.0' 'numpy==2.4.6'

"$folder/venv/bin/python" - 2> "$folder/log" <<'PY' || { cat "$folder/log"; exit 1; }
import copy

import torch
from peft import LoraConfig, get_peft_model

torch.manual_seed(0)
base = torch.nn.Sequential(torch.nn.Linear(16, 16))
x = torch.randn(64, 16)
plain = base(x).detach()
# What the adapter learns: outputs that are 1.5 times as large, and a little else.
wanted = 1.5 * plain + 0.2 * torch.nn.functional.linear(x, torch.randn(16, 16) / 4)


def effects(use_dora):
    """The distance from the base model's outputs at each scale and when disabled, relative to scale 1."""
    torch.manual_seed(1)
    model = get_peft_model(copy.deepcopy(base), LoraConfig(r=4, target_modules=["0"], use_dora=use_dora))
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        (model(x) - wanted).square().mean().backward()
        optimizer.step()
    distances = []
    with torch.no_grad():
        for scale in (1.0, 0.5, 0.0):
            model.base_model.model[0].set_scale("default", scale)
            distances.append((model(x) - plain).norm())
        with model.disable_adapter():
            distances.append((model(x) - plain).norm())
    return [(each / distances[0]).item() for each in distances]


lora, dora = effects(use_dora=False), effects(use_dora=True)
print("effect at scale 1, 0.5, 0 and disabled, relative to scale 1")
for name, each in (("LoRA", lora), ("DoRA", dora)):
    print(f"{name}:", ", ".join(f"{value:.2f}" for value in each))
assert abs(lora[1] - 0.5) < 0.01 and lora[2] < 1e-3 and lora[3] == 0
assert min(dora[1], dora[2]) > 0.8 and dora[3] == 0
PY
