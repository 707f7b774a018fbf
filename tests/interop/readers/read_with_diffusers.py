"""Load LoRA files by `load_lora_weights` of this environment's diffusers: MODEL FOLDER; reads FOLDER/*.safetensors."""

import sys
from pathlib import Path

from safetensors.torch import save_file
from small_model import load_pipeline, outputs

model, folder = Path(sys.argv[1]), Path(sys.argv[2])
for path in sorted(folder.glob("*.safetensors")):
    pipeline = load_pipeline(model)
    pipeline.load_lora_weights(str(folder), weight_name=path.name)
    save_file(outputs(pipeline), folder / f"{path.stem}.outputs")
