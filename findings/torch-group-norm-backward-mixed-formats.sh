#!/usr/bin/env bash
# torch's group norm gradient is silently wrong when it arrives channels last and the input is not.
#
# Versions: torch 2.13.0, Python 3.11.
# Guess:    an ATen operator computes the same for tensors of equal values, whatever their memory format, or refuses it;
#           native_layer_norm_backward and convolution_backward do the same for both formats.
# In fact:  native_group_norm_backward reads the gradient in the input's memory format. With a contiguous input and a
#           gradient that is channels last, as a convolution of oneDNN returns it, the result is finite, plausible and
#           wrong. autograd makes the gradient contiguous first, so only code that calls the operator, such as an
#           autograd.Function of one's own, meets it.
# Output:   same format: 0.0; autograd: 0.0; channels last gradient: wrong by 4.91 (largest gradient: 4.74)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'torch==2.13.0' 'numpy==2.4.6'

"$folder/venv/bin/python" - <<'PY'
import torch

torch.manual_seed(0)
batch, channels, side, groups = 2, 8, 4, 2
x = torch.randn(batch, channels, side, side, requires_grad=True)
weight, bias = torch.ones(channels), torch.zeros(channels)
gradient = torch.randn(batch, channels, side, side)
channels_last = gradient.to(memory_format=torch.channels_last)
assert torch.equal(gradient, channels_last)

normed = torch.nn.functional.group_norm(x, groups, weight, bias)
[expected] = torch.autograd.grad(normed, x, gradient, retain_graph=True)
[by_autograd] = torch.autograd.grad(normed, x, channels_last)


def by_operator(gradient):
    sizes = (batch, channels, side * side, groups)
    with torch.no_grad():
        _, mean, rstd = torch.native_group_norm(x, weight, bias, *sizes, 1e-5)
        operator = torch.ops.aten.native_group_norm_backward
        return operator(gradient, x, mean, rstd, weight, *sizes, [True, False, False])[0]


same, mixed = ((by_operator(each) - expected).abs().max().item() for each in (gradient, channels_last))
autograd = (by_autograd - expected).abs().max().item()
print(f"same format: {same}; autograd: {autograd}; channels last gradient: wrong by {mixed:.2f}")
print(f"largest gradient: {expected.abs().max().item():.2f}")
assert same == autograd == 0.0
assert mixed > expected.abs().max().item()
PY
