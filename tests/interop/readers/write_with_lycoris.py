"""Adapters of the U-Net as LyCORIS writes them: MODEL FOLDER; writes FOLDER/*.safetensors.

Beside each, the outputs of the models that were saved.
"""

import sys
from pathlib import Path

import torch
from lycoris import LycorisNetwork, create_lycoris
from safetensors.torch import save_file
from small_model import load_pipeline, outputs, randomize

model, folder = Path(sys.argv[1]), Path(sys.argv[2])
PRESET = {"target_module": ["Transformer2DModel", "ResnetBlock2D", "Downsample2D", "Upsample2D"], "enable_conv": True}
KINDS = {
    "lora": {"algo": "lora"},
    "dora": {"algo": "lora", "dora_wd": True},
    "dora-of-inputs": {"algo": "lora", "dora_wd": True, "wd_on_output": False},
    "loha": {"algo": "loha"},
    "lokr": {"algo": "lokr", "factor": 4},
    "tucker": {"algo": "lora", "use_tucker": True},
}

LycorisNetwork.apply_preset(PRESET)
for kind, options in KINDS.items():
    pipeline = load_pipeline(model)
    network = create_lycoris(pipeline.unet, 1.0, linear_dim=4, linear_alpha=2, conv_dim=4, conv_alpha=2, **options)
    network.apply_to()
    randomize(network)
    network.eval()
    save_file(outputs(pipeline), folder / f"{kind}.outputs")
    network.save_weights(str(folder / f"{kind}.safetensors"), torch.float32, {})
