"""Names in LoRA files: the form of each tool, and what would be dropped."""

import pytest

from darkroom_contract.lora_names import LoraForm, LoraKind, LoraNames, classify
from darkroom_contract.safetensors_header import TensorInfo


def tensors(*names: str, rank: int = 4, width: int = 32, dtype: str = "F16") -> dict[str, TensorInfo]:
    return {name: TensorInfo(dtype, () if name.endswith(".alpha") else (rank, width)) for name in names}


def names_of(*names: str) -> LoraNames:
    return classify(tensors(*names))


def kohya(module: str) -> list[str]:
    return [f"{module}.lora_down.weight", f"{module}.lora_up.weight", f"{module}.alpha"]


SGM = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"
DIFFUSERS = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
DOTTED = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
FLAT = "down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
TE = "text_model_encoder_layers_0_self_attn_q_proj"


@pytest.mark.parametrize(
    ("names", "form", "component", "module"),
    [
        (kohya(SGM), LoraForm.KOHYA_SGM, "unet", SGM.removeprefix("lora_unet_")),
        (kohya(DIFFUSERS), LoraForm.KOHYA_DIFFUSERS, "unet", FLAT),
        (kohya("lora_te1_" + TE), LoraForm.KOHYA_DIFFUSERS, "text_encoder", TE),
        (kohya("lora_te_" + TE), LoraForm.KOHYA_DIFFUSERS, "text_encoder", TE),
        (kohya("lora_te2_" + TE), LoraForm.KOHYA_DIFFUSERS, "text_encoder_2", TE),
        ([f"unet.{DOTTED}.lora_A.weight", f"unet.{DOTTED}.lora_B.weight"], LoraForm.DIFFUSERS_PEFT, "unet", FLAT),
        (
            [f"unet.{DOTTED}.lora_A.default.weight", f"unet.{DOTTED}.lora_B.default.weight"],
            LoraForm.DIFFUSERS_PEFT,
            "unet",
            FLAT,
        ),
        ([f"unet.{DOTTED}.lora.down.weight", f"unet.{DOTTED}.lora.up.weight"], LoraForm.DIFFUSERS_OLD, "unet", FLAT),
        (
            [f"base_model.model.{DOTTED}.lora_A.weight", f"base_model.model.{DOTTED}.lora_B.weight"],
            LoraForm.PEFT,
            "unet",
            FLAT,
        ),
        (
            [f"base_model.model.unet.{DOTTED}.lora_A.weight", f"base_model.model.unet.{DOTTED}.lora_B.weight"],
            LoraForm.PEFT,
            "unet",
            FLAT,
        ),
        ([f"{DOTTED}.lora_A.weight", f"{DOTTED}.lora_B.weight"], LoraForm.BARE, "unet", FLAT),
    ],
)
def test_the_form_and_the_module_are_recognised(names: list[str], form: LoraForm, component: str, module: str) -> None:
    found = names_of(*names)

    assert (found.form, found.refused, found.fault) == (form, (), None)
    [((found_component, found_module), parts)] = found.modules.items()
    assert (found_component, found_module) == (component, module)
    assert (parts.kind, parts.tensors["down"], parts.tensors["up"]) == (LoraKind.LORA, names[0], names[1])
    assert found.ranks == (4,)
    assert found.has_text_encoders == (component != "unet")


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("unet.mid_block.attentions.0.transformer_blocks.0.attn2.processor.to_out_lora", "to_out_0"),
        ("unet.mid_block.attentions.0.transformer_blocks.0.attn2.processor.to_k_lora", "to_k"),
        ("text_encoder.text_model.encoder.layers.1.self_attn.to_q_lora", "layers_1_self_attn_q_proj"),
        ("text_encoder_2.text_model.encoder.layers.1.self_attn.to_out_lora", "self_attn_out_proj"),
        ("text_encoder.text_model.encoder.layers.1.mlp.fc1.lora_linear_layer", "layers_1_mlp_fc1"),
    ],
)
def test_diffusers_old_names_refer_to_the_modules_of_today(name: str, module: str) -> None:
    found = names_of(f"{name}.down.weight", f"{name}.up.weight")

    assert (found.form, found.fault) == (LoraForm.DIFFUSERS_OLD, None)
    [(_, found_module)] = found.modules
    assert found_module.endswith(module)


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        (["hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "alpha"], LoraKind.LOHA),
        (["hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2", "alpha"], LoraKind.LOHA),
        (["lokr_w1", "lokr_w2", "alpha"], LoraKind.LOKR),
        (["lokr_w1", "lokr_w2_a", "lokr_w2_b", "alpha"], LoraKind.LOKR),
        (["lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b", "lokr_t2"], LoraKind.LOKR),
        (["diff", "diff_b"], LoraKind.DIFFERENCE),
        (["lora_down.weight", "lora_up.weight", "alpha", "diff_b"], LoraKind.LORA),
        (["lora_down.weight", "lora_mid.weight", "lora_up.weight", "alpha"], LoraKind.LORA),
    ],
)
@pytest.mark.parametrize("module", [SGM, "lycoris_" + FLAT, "base_model.model." + DOTTED])
def test_the_kinds_of_lycoris_are_recognised(module: str, parts: list[str], kind: LoraKind) -> None:
    found = names_of(*(f"{module}.{part}" for part in parts))

    assert (found.kinds, found.fault, found.has_dora) == ((kind,), None, False)


@pytest.mark.parametrize(
    "scale",
    [f"{SGM}.dora_scale", f"unet.{DOTTED}.lora_magnitude_vector", f"unet.{DOTTED}.lora_magnitude_vector.weight"],
)
def test_dora_is_recognised(scale: str) -> None:
    module = scale.rsplit(".dora_scale")[0].split(".lora_magnitude_vector")[0]
    parts = ("lora_A", "lora_B") if module.startswith("unet.") else ("lora_down", "lora_up")

    found = names_of(*(f"{module}.{part}.weight" for part in parts), scale)

    assert (found.has_dora, found.fault) == (True, None)


@pytest.mark.parametrize(
    "dropped",
    [
        [f"{SGM}.a1.weight", f"{SGM}.a2.weight", f"{SGM}.b1.weight", f"{SGM}.b2.weight"],
        [f"{SGM}.on_input", f"{SGM}.weight"],
        [f"{SGM}.oft_blocks"],
        [f"{SGM}.w_norm", f"{SGM}.b_norm"],
        [f"{SGM}.scalar"],
        [f"unet.{DOTTED}.lora_B.bias"],
        ["lora_unet_never_heard_of.lora_down.weight", "lora_unet_never_heard_of.lora_up.weight"],
        [f"{DIFFUSERS}.lora_down.weight"],
        [f"{DIFFUSERS}.dora_scale"],
        [f"{DIFFUSERS}.diff_b"],
        [f"{DIFFUSERS}.lokr_w1"],
        [f"{DIFFUSERS}.lokr_w1", f"{DIFFUSERS}.lokr_w1_a", f"{DIFFUSERS}.lokr_w1_b", f"{DIFFUSERS}.lokr_w2"],
        [f"{DIFFUSERS}.hada_w1_a", f"{DIFFUSERS}.hada_w1_b"],
        [f"{DIFFUSERS}.lora_down.weight", f"{DIFFUSERS}.lora_up.weight", f"{DIFFUSERS}.diff"],
        ["text_model.encoder.layers.0.self_attn.q_proj.lora_A.weight"],
    ],
)
def test_whatever_would_be_dropped_is_listed(dropped: list[str]) -> None:
    found = names_of(*kohya("lora_unet_mid_block_attentions_0_proj_in"), *dropped)

    assert set(found.refused) == set(dropped)
    assert len(found.modules) == 1
    assert found.fault is not None
    assert found.fault.startswith(f"{len(dropped)} of its tensors can't be applied and would be dropped: ")
    assert dropped[0] in found.fault


def test_two_names_for_one_weight_are_refused() -> None:
    found = names_of(*kohya(DIFFUSERS), f"unet.{DOTTED}.lora_A.weight")

    assert found.refused == (f"unet.{DOTTED}.lora_A.weight",)


def test_an_alpha_may_be_an_integer_as_diffusers_writes_it() -> None:
    found = classify(tensors(*kohya(SGM)) | {f"{SGM}.alpha": TensorInfo("I64", ())})
    assert found.fault is None


def test_weights_that_are_not_floating_point_are_refused() -> None:
    found = classify(tensors(*kohya(SGM), dtype="I8"))

    assert len(found.refused) == 3
    assert found.fault is not None


@pytest.mark.parametrize(("role", "shape"), [(0, ()), (0, (0, 32)), (1, (4, 0)), (2, (2,)), (2, (0,))])
def test_a_tensor_without_elements_or_sides_is_refused(role: int, shape: tuple[int, ...]) -> None:
    names = kohya(SGM)

    found = classify(tensors(*names) | {names[role]: TensorInfo("F32", shape)})

    assert names[role] in found.refused
    assert found.fault is not None


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([*kohya(SGM), "bundle_emb.sks.string_to_param.*"], "textual-inversion embedding (bundle_emb.sks"),
        (["clip_l", "clip_g"], "textual-inversion embedding (clip_l, clip_g)"),
        (["emb_params"], "textual-inversion embedding"),
        (["model.diffusion_model.input_blocks.0.0.weight"], "It is not a LoRA"),
        ([], "It is not a LoRA"),
    ],
)
def test_files_that_are_something_else_are_named(names: list[str], words: str) -> None:
    fault = names_of(*names).fault

    assert fault is not None
    assert words in fault


@pytest.mark.parametrize(
    ("names", "width", "architecture"),
    [
        (kohya(DIFFUSERS.replace("attn1_to_q", "attn2_to_k")), 768, "Stable Diffusion 1.5"),
        (kohya(DIFFUSERS.replace("attn1_to_q", "attn2_to_v")), 1024, "Stable Diffusion 2"),
        (
            [f"unet.{DOTTED.replace('attn1.to_q', 'attn2.processor.to_k_lora')}.down.weight"],
            768,
            "Stable Diffusion 1.5",
        ),
        ([f"unet.{DOTTED.replace('attn1.to_q', 'attn2.to_k')}.lora_A.weight"], 768, "Stable Diffusion 1.5"),
        ([f"{DIFFUSERS.replace('attn1_to_q', 'attn2_to_k')}.hada_w1_b"], 768, "Stable Diffusion 1.5"),
        (kohya("lora_unet_double_blocks_0_img_attn_proj"), 3072, "Flux"),
        (["transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight"], 3072, "Flux"),
        (kohya("lora_unet_joint_blocks_0_context_block_attn_proj"), 1536, "Stable Diffusion 3"),
        (["transformer.transformer_blocks.0.attn.to_q.lora_A.weight"], 1536, "a transformer model"),
        (["down_blocks.0.motion_modules.0.proj_in.lora_A.weight"], 320, "a video model"),
    ],
)
def test_a_lora_for_another_architecture_is_named(names: list[str], width: int, architecture: str) -> None:
    fault = classify(tensors(*names, width=width)).fault

    assert fault is not None
    assert fault.startswith(f"It is a LoRA for {architecture}")
    assert fault.endswith("not for SDXL. Use a LoRA that was made for SDXL.")


@pytest.mark.parametrize("width", [2048, 32])
def test_a_lora_for_sdxl_or_a_small_model_is_not_taken_for_another(width: int) -> None:
    assert classify(tensors(*kohya(DIFFUSERS.replace("attn1_to_q", "attn2_to_k")), width=width)).fault is None


def test_control_characters_of_a_name_do_not_reach_a_terminal() -> None:
    fault = classify(tensors("lora_unet_a\n\x1b[31m.lora_down.weight")).fault

    assert fault is not None
    assert "lora_unet_a??[31m.lora_down.weight" in fault


def test_a_file_without_tensors_is_no_lora() -> None:
    assert classify({}).fault == "It is not a LoRA: it has no tensors."
