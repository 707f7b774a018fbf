#!/usr/bin/env bash
# With SDXL's published scheduler settings, one step of Euler, Euler ancestral, Heun or DDIM draws nothing at all.
#
# Versions: diffusers 0.42.1, torch 2.13.0, Python 3.11.
# Guess:    one step starts at the noisiest timestep and gives a blurred picture.
# In fact:  "leading" spacing puts the one step at timestep 1 of 1000, nearly the end: a pipeline hands it pure noise,
#           the model takes that for a nearly finished picture, and the noise comes back. DPM++ and UniPC start in the
#           middle (501). "linspace" has the same trap for Euler, Heun and DDIM (timestep 0), and not for DPM++ (999).
# Output:   first timestep of one step, leading / linspace / trailing:
#           EulerDiscreteScheduler 1 / 0 / 999
#           EulerAncestralDiscreteScheduler 1 / 0 / 999
#           HeunDiscreteScheduler 1 / 0 / 999
#           DDIMScheduler 1 / 0 / 999
#           DPMSolverMultistepScheduler 501 / 999 / 999
#           UniPCMultistepScheduler 501 / 999 / 999
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'torch==2.13.0'
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'torch==2.13.0' 'diffusers==0.42.1' 'numpy==2.4.6'

"$folder/venv/bin/python" - 2> "$folder/log" <<'PY' || { cat "$folder/log"; exit 1; }
import diffusers

# scheduler/scheduler_config.json of stabilityai/stable-diffusion-xl-base-1.0
SDXL = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
EXPECTED = {
    "EulerDiscreteScheduler": [1, 0, 999],
    "EulerAncestralDiscreteScheduler": [1, 0, 999],
    "HeunDiscreteScheduler": [1, 0, 999],
    "DDIMScheduler": [1, 0, 999],
    "DPMSolverMultistepScheduler": [501, 999, 999],
    "UniPCMultistepScheduler": [501, 999, 999],
}
print("first timestep of one step, leading / linspace / trailing:")
for name, expected in EXPECTED.items():
    first = []
    for spacing in ("leading", "linspace", "trailing"):
        scheduler = getattr(diffusers, name).from_config({**SDXL, "timestep_spacing": spacing})
        scheduler.set_timesteps(1)
        first.append(round(float(scheduler.timesteps[0])))
    print(name, " / ".join(map(str, first)))
    assert first == expected, (name, first, expected)
PY
