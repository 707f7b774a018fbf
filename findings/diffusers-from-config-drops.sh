#!/usr/bin/env bash
# diffusers' Scheduler.from_config keeps a dropped setting in `config`: it looks kept, and does nothing.
#
# Versions: diffusers 0.42.1, torch 2.13.0, Python 3.11.
# Guess:    a sampler made from another's configuration follows the same noise schedule, or refuses.
# In fact:  Heun does not know rescale_betas_zero_snr: its last noise level is not that of the model's schedule, while
#           `heun.config.rescale_betas_zero_snr` is still True. A DDPM scheduler made from an EDM configuration gets
#           linear betas of 0.0001 to 0.02, which no model of that kind ever saw. Nothing is raised; and a setting that
#           the file leaves out becomes the *target's* default, which differs (Heun's first beta is 0.00085).
# Output:   Euler's schedule ends at 5.96e-08, Heun's from its config at 4.66e-03; heun.config says zero SNR: True
#           DDPM from an EDM config: linear betas 0.0001 to 0.02, sigma_data kept in config: 0.5
#           first beta left to the default: Euler 0.0001, Heun from its config 0.00085
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'torch==2.13.0'
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'torch==2.13.0' 'diffusers==0.42.1' 'numpy==2.4.6'

"$folder/venv/bin/python" - 2> "$folder/log" <<'PY' || { cat "$folder/log"; exit 1; }
from diffusers import DDPMScheduler, EDMEulerScheduler, EulerDiscreteScheduler, HeunDiscreteScheduler

euler = EulerDiscreteScheduler(
    beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", rescale_betas_zero_snr=True
)
heun = HeunDiscreteScheduler.from_config(euler.config)
ends = [float(each.alphas_cumprod[-1]) for each in (euler, heun)]
kept = heun.config.rescale_betas_zero_snr
print(f"Euler's schedule ends at {ends[0]:.2e}, Heun's from its config at {ends[1]:.2e}; heun.config says zero SNR: {kept}")
assert ends[0] < 1e-6 < 1e-3 < ends[1] and kept

ddpm = DDPMScheduler.from_config(EDMEulerScheduler(sigma_data=0.5).config)
first, last, shape = ddpm.config.beta_start, ddpm.config.beta_end, ddpm.config.beta_schedule
print(f"DDPM from an EDM config: {shape} betas {first} to {last}, sigma_data kept in config: {ddpm.config.sigma_data}")
assert (first, last, shape, ddpm.config.sigma_data) == (0.0001, 0.02, "linear", 0.5)

bare = EulerDiscreteScheduler.from_config({"beta_schedule": "linear"})
other = HeunDiscreteScheduler.from_config(bare.config)
print(f"first beta left to the default: Euler {bare.config.beta_start}, Heun from its config {other.config.beta_start}")
assert (bare.config.beta_start, other.config.beta_start) == (0.0001, 0.00085)
PY
