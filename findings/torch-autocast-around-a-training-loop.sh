#!/usr/bin/env bash
# A training loop inside one `torch.autocast` trains nothing: every step computes with the weights of the first.
#
# Versions: torch 2.13.0, Python 3.11.
# Guess:    `with torch.autocast(...)` around the loop gives the same training as around each forward pass: at worst a
#           little more runs in low precision.
# In fact:  autocast keeps the low-precision copy of each weight that needs a gradient until its outermost context ends,
#           and never checks whether the weight has changed. The optimizer moves the weights, but the loss stays that of
#           the first step to the last bit. Nothing is raised or logged. `cache_enabled=False` trains.
# Output:   around each forward pass: 8.91 -> 0.36, around the loop: 8.91 -> 8.91, without its cache: 8.91 -> 0.36
#           weights moved around the loop: True
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'torch==2.13.0' 'numpy==2.4.6'

"$folder/venv/bin/python" - <<'PY'
from contextlib import nullcontext

import torch


def train(loop, forward):
    """The losses of 30 steps, and the distance by which the weights moved."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    x = torch.randn(32, 8)
    y = x.sum(1, keepdim=True)
    before = model[0].weight.detach().clone()
    losses = []
    with loop:
        for _ in range(30):
            with forward:
                loss = torch.nn.functional.mse_loss(model(x).float(), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses, (model[0].weight - before).norm().item()


def autocast(**options):
    return torch.autocast("cpu", dtype=torch.bfloat16, **options)


each, _ = train(nullcontext(), autocast())
around, moved = train(autocast(), nullcontext())
uncached, _ = train(autocast(cache_enabled=False), nullcontext())
told = [f"{losses[0]:.2f} -> {losses[-1]:.2f}" for losses in (each, around, uncached)]
print(f"around each forward pass: {told[0]}, around the loop: {told[1]}, without its cache: {told[2]}")
print("weights moved around the loop:", moved > 1)
assert len(set(around)) == 1 and moved > 1
assert max(each[-1], uncached[-1]) < 1 < each[0]
PY
