"""LoRA files in Kohya format: the names that other tools expect, at SDXL's real size, and equal images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from safetensors.torch import load_file, save_file
from support.sdxl_structure import RealSize, kohya_tensors

from darkroom_contract.specs.training_choices import LoraLayers
from darkroom_runner.errors import ModelIncompatibleError
from darkroom_runner.lora.kohya_format import kohya_state, sgm_blocks
from darkroom_runner.models import pretrained
from darkroom_runner.models.device import generator
from darkroom_runner.tasks.train import TrainInputs, TrainTask

# diffusers' names -> the names that ComfyUI, A1111 and kohya's scripts look up.
EXPECTED_NAMES = {
    "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_k": (
        "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_k"
    ),
    "unet.down_blocks.1.attentions.1.proj_in": "lora_unet_input_blocks_5_1_proj_in",
    "unet.down_blocks.2.attentions.0.transformer_blocks.9.attn2.to_out.0": (
        "lora_unet_input_blocks_7_1_transformer_blocks_9_attn2_to_out_0"
    ),
    "unet.down_blocks.2.attentions.1.transformer_blocks.3.ff.net.0.proj": (
        "lora_unet_input_blocks_8_1_transformer_blocks_3_ff_net_0_proj"
    ),
    "unet.down_blocks.0.resnets.0.conv1": "lora_unet_input_blocks_1_0_in_layers_2",
    "unet.down_blocks.0.resnets.1.conv2": "lora_unet_input_blocks_2_0_out_layers_3",
    "unet.down_blocks.0.downsamplers.0.conv": "lora_unet_input_blocks_3_0_op",
    "unet.down_blocks.1.resnets.0.conv_shortcut": "lora_unet_input_blocks_4_0_skip_connection",
    "unet.down_blocks.1.downsamplers.0.conv": "lora_unet_input_blocks_6_0_op",
    "unet.mid_block.resnets.0.conv1": "lora_unet_middle_block_0_in_layers_2",
    "unet.mid_block.attentions.0.transformer_blocks.9.attn2.to_v": (
        "lora_unet_middle_block_1_transformer_blocks_9_attn2_to_v"
    ),
    "unet.mid_block.resnets.1.conv2": "lora_unet_middle_block_2_out_layers_3",
    "unet.up_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q": (
        "lora_unet_output_blocks_0_1_transformer_blocks_0_attn1_to_q"
    ),
    "unet.up_blocks.0.attentions.2.transformer_blocks.5.ff.net.2": (
        "lora_unet_output_blocks_2_1_transformer_blocks_5_ff_net_2"
    ),
    "unet.up_blocks.0.upsamplers.0.conv": "lora_unet_output_blocks_2_2_conv",
    "unet.up_blocks.1.attentions.2.proj_out": "lora_unet_output_blocks_5_1_proj_out",
    "unet.up_blocks.1.upsamplers.0.conv": "lora_unet_output_blocks_5_2_conv",
    "unet.up_blocks.2.resnets.2.conv_shortcut": "lora_unet_output_blocks_8_0_skip_connection",
    "text_encoder.text_model.encoder.layers.0.self_attn.q_proj": (
        "lora_te1_text_model_encoder_layers_0_self_attn_q_proj"
    ),
    "text_encoder.text_model.encoder.layers.11.self_attn.out_proj": (
        "lora_te1_text_model_encoder_layers_11_self_attn_out_proj"
    ),
    "text_encoder_2.text_model.encoder.layers.31.self_attn.v_proj": (
        "lora_te2_text_model_encoder_layers_31_self_attn_v_proj"
    ),
}


@pytest.fixture(scope="module")
def real_unet() -> Any:
    return RealSize().unet


@pytest.mark.parametrize(
    ("layers", "text_encoders", "count"), [(LoraLayers.ATTENTION, False, 1680), (LoraLayers.ALL, True, 2841)]
)
def test_every_module_of_sdxl_has_a_unique_name(layers: LoraLayers, text_encoders: bool, count: int) -> None:
    state = kohya_tensors(layers, text_encoders)

    assert len(state) == count
    modules = {name.split(".")[0] for name in state}
    assert len(modules) == count // 3
    for module in modules:
        assert {f"{module}.lora_down.weight", f"{module}.lora_up.weight", f"{module}.alpha"} <= state.keys()
    # No name of diffusers is left.
    assert not [name for name in state if "down_blocks" in name or "up_blocks_" in name.replace("output_blocks_", "")]


def test_names_match_those_of_other_tools(real_unet: Any) -> None:
    state = kohya_tensors(LoraLayers.ALL, True)
    assert {f"{name}.lora_down.weight" for name in EXPECTED_NAMES.values()} <= state.keys()
    for name, expected in EXPECTED_NAMES.items():
        weights = {f"{name}.lora_A.weight": torch.zeros(4, 1), f"{name}.lora_B.weight": torch.zeros(1, 4)}
        assert set(kohya_state(weights, real_unet, 4)) == {
            f"{expected}.lora_down.weight",
            f"{expected}.lora_up.weight",
            f"{expected}.alpha",
        }


def test_blocks_are_numbered_across_all_levels(real_unet: Any) -> None:
    blocks = set(sgm_blocks(real_unet).values())
    assert {int(name.split(".")[1]) for name in blocks if name.startswith("input_blocks")} == set(range(1, 9))
    assert {int(name.split(".")[1]) for name in blocks if name.startswith("output_blocks")} == set(range(9))


def test_convolution_weights_keep_four_dimensions() -> None:
    state = kohya_tensors(LoraLayers.ALL, True)
    assert state["lora_unet_input_blocks_3_0_op.lora_down.weight"].shape == (4, 320, 3, 3)
    assert state["lora_unet_input_blocks_3_0_op.lora_up.weight"].shape == (320, 4, 1, 1)
    assert state["lora_unet_input_blocks_3_0_op.alpha"].item() == 4.0


def test_a_module_unknown_to_sdxl_is_refused(sdxl: Any) -> None:
    with pytest.raises(ModelIncompatibleError, match=r"'extra\.layer'"):
        kohya_state({"unet.extra.layer.lora_A.weight": torch.zeros(4, 1)}, sdxl.unet, 4)


def test_without_a_kohya_name_only_the_kohya_file_is_missing(
    open_training: Callable[..., Any], open_context: Callable[..., Any], photos: Any
) -> None:
    session = open_training()
    session.pipeline.unet.extra = torch.nn.ModuleDict({"to_q": torch.nn.Linear(2, 2)})
    context = open_context(session.spec)
    model = pretrained.find_pretrained("test-sdxl", pretrained.SDXL, context.settings.model_root)

    result = TrainTask(context, session.spec).execute(TrainInputs(photos, model), session)

    assert [path.name for path in result.files] == ["pytorch_lora_weights.safetensors"]
    [remark] = [each for each in context.remarks.collected if each.reason == "FileLeftOut"]
    assert remark.message.startswith("my-dog.safetensors, the LoRA in Kohya format for other tools, is missing: ")
    assert "'extra.to_q'" in remark.message


# --- on the small model ------------------------------------------------------------------------------------------


def generate(pipeline: Any) -> torch.Tensor:
    latents: torch.Tensor = pipeline(
        "a photo of sks dog", num_inference_steps=3, generator=generator(1), output_type="latent"
    ).images
    return latents


EVERYTHING = {"layers": "All", "trainTextEncoders": True, "alpha": 2, "learningRate": 1e-3}


@pytest.mark.parametrize("training", [{"learningRate": 1e-3}, EVERYTHING], ids=["attention", "everything"])
def test_diffusers_kohya_loader_gives_the_same_image(
    open_training: Callable[..., Any], photos: Any, sdxl: StableDiffusionXLPipeline, tmp_path: Path, training: Any
) -> None:
    session = open_training(**training)
    session.train(photos)
    session.idle_models.bring_back()
    session.pipeline.unet.eval()
    for module in session.pipeline.unet.modules():
        module.__dict__.pop("forward", None)  # Fused layers are equal within rounding only.
    expected, without = generate(session.pipeline), generate(sdxl)
    session.save_kohya(tmp_path / "my-dog.safetensors", {})
    single = kohya_state(session.adapters.folded_state(), sdxl.unet, 4)
    save_file(single, tmp_path / "single.safetensors")

    differences = {}
    for name in ("my-dog", "single"):
        sdxl.load_lora_weights(str(tmp_path), weight_name=f"{name}.safetensors")
        differences[name] = float((generate(sdxl) - expected).abs().max())
        sdxl.unload_lora_weights()

    assert float((without - expected).abs().max()) > 0.02
    assert differences["single"] <= 2e-6
    assert differences["my-dog"] <= 1e-3


def test_weights_beyond_half_precision_stay_in_float32(
    open_training: Callable[..., Any], photos: Any, tmp_path: Path
) -> None:
    session = open_training()
    session.train(photos)
    next(iter(session.adapters.parameters.values())).data.fill_(1e6)
    session.save_kohya(tmp_path / "my-dog.safetensors", {})
    tensors = load_file(tmp_path / "my-dog.safetensors").values()
    assert {tensor.dtype for tensor in tensors} == {torch.float32}
    assert all(torch.isfinite(tensor).all() for tensor in tensors)
