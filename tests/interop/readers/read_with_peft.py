"""Load LoRA files for diffusers with peft alone, by their header: MODEL FOLDER; reads FOLDER/*.safetensors."""

import json
import sys
from pathlib import Path

from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_model import load_pipeline, outputs

model, folder = Path(sys.argv[1]), Path(sys.argv[2])
for path in sorted(folder.glob("*.safetensors")):
    pipeline = load_pipeline(model)
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["lora_adapter_metadata"])
    state = load_file(path)
    for component in {name.split(".")[0] for name in state}:
        prefix = f"{component}."
        options = {name.removeprefix(prefix): value for name, value in header.items() if name.startswith(prefix)}
        weights = {name.removeprefix(prefix): each for name, each in state.items() if name.startswith(prefix)}
        network = getattr(pipeline, component)
        if not hasattr(network, "text_model"):  # transformers 5
            weights = {name.removeprefix("text_model."): each for name, each in weights.items()}
        inject_adapter_in_model(LoraConfig(**options), network)
        result = set_peft_model_state_dict(network, weights)
        missing = [name for name in result.missing_keys if "lora_" in name]
        assert not result.unexpected_keys, result.unexpected_keys
        assert not missing, missing
    save_file(outputs(pipeline), folder / f"{path.stem}.outputs")
