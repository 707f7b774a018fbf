"""Adapters of the U-Net as peft's `save_pretrained` writes them: MODEL FOLDER; writes FOLDER/*.safetensors.

Beside each, the outputs of the models that were saved. Alpha is the rank: peft has it in another file.
"""

import sys
from pathlib import Path

from peft import LoHaConfig, LoKrConfig, LoraConfig, get_peft_model
from safetensors.torch import save_file
from small_model import load_pipeline, outputs, randomize

model, folder = Path(sys.argv[1]), Path(sys.argv[2])
TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]
CONFIGS = {
    "lora": LoraConfig(r=4, lora_alpha=4, target_modules=TARGETS),
    "dora": LoraConfig(r=4, lora_alpha=4, target_modules=TARGETS, use_dora=True),
    "loha": LoHaConfig(r=4, alpha=4, target_modules=TARGETS),
    "lokr": LoKrConfig(r=4, alpha=4, target_modules=TARGETS),
}

for kind, config in CONFIGS.items():
    pipeline = load_pipeline(model)
    adapted = get_peft_model(pipeline.unet, config)
    randomize(adapted)
    save_file(outputs(pipeline), folder / f"{kind}.outputs")
    adapted.save_pretrained(folder / kind)
    (folder / kind / "adapter_model.safetensors").rename(folder / f"{kind}.safetensors")
