"""LoRA files as diffusers' training scripts and examples write them: MODEL FOLDER; writes FOLDER/*.safetensors.

Beside each, the outputs of the models that were saved. Alpha is the rank: only the newest form stores another one.
"""

import sys
from pathlib import Path

from diffusers import StableDiffusionXLPipeline
from diffusers.utils import (
    convert_all_state_dict_to_peft,
    convert_state_dict_to_diffusers,
    convert_state_dict_to_kohya,
)
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from small_model import load_pipeline, outputs, randomize

model, folder = Path(sys.argv[1]), Path(sys.argv[2])
TARGETS = {
    "unet": ["to_q", "to_k", "to_v", "to_out.0"],
    "text_encoder": ["q_proj", "k_proj", "v_proj", "out_proj"],
    "text_encoder_2": ["q_proj", "k_proj", "v_proj", "out_proj"],
}


def save(kind, states):
    StableDiffusionXLPipeline.save_lora_weights(
        str(folder),
        unet_lora_layers=states["unet"],
        text_encoder_lora_layers=states["text_encoder"],
        text_encoder_2_lora_layers=states["text_encoder_2"],
        weight_name=f"{kind}.safetensors",
    )
    save_file(expected, folder / f"{kind}.outputs")


pipeline = load_pipeline(model)
for component, targets in TARGETS.items():
    config = LoraConfig(r=4, lora_alpha=4, init_lora_weights="gaussian", target_modules=targets)
    getattr(pipeline, component).add_adapter(config)
    randomize(getattr(pipeline, component))
expected = outputs(pipeline)
peft = {component: get_peft_model_state_dict(getattr(pipeline, component)) for component in TARGETS}
for component in TARGETS:
    if component != "unet" and not hasattr(getattr(pipeline, component), "text_model"):  # transformers 5
        peft[component] = {f"text_model.{name}": tensor for name, tensor in peft[component].items()}
diffusers = {component: convert_state_dict_to_diffusers(state) for component, state in peft.items()}
save("peft-names", peft)
save("diffusers-names", diffusers)

everything = {f"{component}.{name}": tensor for component, state in peft.items() for name, tensor in state.items()}
kohya = convert_state_dict_to_kohya(convert_all_state_dict_to_peft(everything))
save_file({name: tensor.contiguous() for name, tensor in kohya.items()}, folder / "kohya-diffusers-blocks.safetensors")
save_file(expected, folder / "kohya-diffusers-blocks.outputs")

# The names of diffusers before 0.18, which had no peft.
renamed = {
    f"unet.{name}".replace(".to_", ".processor.to_")
    .replace(".lora.", "_lora.")
    .replace("to_out.0_lora", "to_out_lora"): tensor.contiguous()
    for name, tensor in diffusers["unet"].items()
}
assert all("_lora." in name for name in renamed), sorted(renamed)[0]
save_file(renamed, folder / "attention-processors.safetensors")
unet_only = load_pipeline(model)
unet_only.unet = pipeline.unet
save_file(outputs(unet_only), folder / "attention-processors.outputs")
