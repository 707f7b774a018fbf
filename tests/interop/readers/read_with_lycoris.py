"""Merge Kohya files with LyCORIS: MODEL FOLDER; reads FOLDER/*.safetensors, and FOLDER/modules.json for the modules.

LyCORIS finds modules by the names of sd-scripts' own U-Net, which is on no package index; modules.json maps them to
diffusers' modules.
"""

import json
import sys
from pathlib import Path

from lycoris.modules import get_module, make_module
from safetensors.torch import load_file, save_file
from small_model import load_pipeline, outputs

model, folder = Path(sys.argv[1]), Path(sys.argv[2])
modules = json.loads((folder / "modules.json").read_text())
for path in sorted(folder.glob("*.safetensors")):
    pipeline = load_pipeline(model)
    state = load_file(path)
    for stem in sorted({name.split(".")[0] for name in state}):
        component, _, name = modules[stem].partition(".")
        network = getattr(pipeline, component)
        if component != "unet" and not hasattr(network, "text_model"):  # transformers 5
            name = name.removeprefix("text_model.")
        kind, parameters = get_module(state, stem)
        make_module(kind, parameters, stem, network.get_submodule(name)).merge_to(1.0)
    save_file(outputs(pipeline), folder / f"{path.stem}.outputs")
