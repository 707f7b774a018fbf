"""LoRA files of other tools: the same effect in every form, all of it or nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import foreign_loras as forms
from support.foreign_loras import ATTENTION, Lora, assert_same_effect, output_of, random_lora, saved
from support.sdxl_structure import RealSize, kohya_tensors, peft_names

from darkroom_contract.lora_names import parse_name
from darkroom_contract.specs.training_choices import LoraLayers
from darkroom_runner.errors import ModelIncompatibleError
from darkroom_runner.lora.diffusers_format import load_lora
from darkroom_runner.lora.module_names import module_paths

Tensors = dict[str, torch.Tensor]


def in_double_prefix(lora: Lora) -> Tensors:
    return forms.dotted(lora, "base_model.model.{component}.")


@pytest.mark.parametrize(
    ("of", "write"),
    [
        (None, forms.kohya),
        (None, lambda lora: forms.kohya(lora, sgm=False)),
        (None, lambda lora: forms.kohya(lora, parts=("lora_A", "lora_B"))),
        (None, forms.dotted),
        (None, lambda lora: forms.dotted(lora, parts=("lora_A.default", "lora_B.default"))),
        (None, lambda lora: forms.dotted(lora, parts=("lora.down", "lora.up"))),
        (None, in_double_prefix),
        (forms.of_unet, lambda lora: forms.dotted(lora, "base_model.model.")),
        (forms.of_unet, lambda lora: forms.dotted(lora, "")),
        (forms.of_attention, forms.diffusers_old),
    ],
    ids=[
        *("Kohya with SGM blocks", "Kohya with diffusers blocks", "Kohya with lora_A", "diffusers", "adapter name"),
        *("lora.down", "peft and component", "peft", "no prefix", "attention processors"),
    ],
)
def test_every_form_has_the_same_effect(
    sdxl: Any, tmp_path: Path, of: Callable[[Lora], Lora] | None, write: Callable[[Lora], Tensors]
) -> None:
    lora = random_lora(sdxl)
    tensors = write(of(lora) if of else lora)
    has_alpha = any(name.endswith(".alpha") for name in tensors)
    # Without alpha it equals the rank.
    lora = forms.with_alpha(of(lora) if of else lora, 2.0 if has_alpha else 4.0)
    base, expected = output_of(sdxl), output_of(forms.merged(sdxl, lora))

    load_lora(sdxl, saved(tensors, tmp_path / "a.safetensors"), scale=1.0, model_id="foreign")

    assert_same_effect(sdxl, expected, base)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_file_of_another_precision_is_rounded_only_by_its_own(sdxl: Any, tmp_path: Path, dtype: torch.dtype) -> None:
    rounded = {
        place: (down.to(dtype).float(), up.to(dtype).float(), alpha)
        for place, (down, up, alpha) in random_lora(sdxl).items()
    }
    base, expected = output_of(sdxl), output_of(forms.merged(sdxl, rounded))
    tensors = {name: tensor.to(dtype) for name, tensor in forms.kohya(rounded).items()}

    load_lora(sdxl, saved(tensors, tmp_path / "a.safetensors"), scale=1.0, model_id="foreign")

    assert_same_effect(sdxl, expected, base)


def test_each_layer_has_its_own_rank_and_alpha(sdxl: Any, tmp_path: Path) -> None:
    """As in files that were resized, or that have other ranks for convolutions."""
    by_rank = [random_lora(sdxl, rank=rank, alpha=alpha, seed=rank) for rank, alpha in ((1, 1.0), (3, 0.5), (8, 16.0))]
    lora = {place: by_rank[number % 3][place] for number, place in enumerate(by_rank[0])}
    base, expected = output_of(sdxl), output_of(forms.merged(sdxl, lora))

    load_lora(sdxl, saved(forms.kohya(lora), tmp_path / "a.safetensors"), scale=1.0, model_id="foreign")

    assert_same_effect(sdxl, expected, base)


@pytest.mark.parametrize(
    ("config", "alpha"),
    [
        ({"unet.r": 4, "unet.lora_alpha": 12}, 12.0),
        ({"unet.r": 4, "unet.lora_alpha": 12, "unet.use_rslora": True}, 24.0),
        ({"unet.r": 4, "unet.lora_alpha": 1, "unet.alpha_pattern": {f"{ATTENTION}.to_q": 8, "to_out.0": 8}}, 8.0),
        (
            {
                "unet.r": 4,
                "unet.lora_alpha": 1,
                "unet.alpha_pattern": {"^" + ATTENTION.replace(".", "\\.") + "\\.to_q$": 8, "to_out.0": 8},
            },
            8.0,
        ),
    ],
    ids=["alpha", "rsLoRA", "pattern", "exact pattern"],
)
def test_the_strength_of_peft_s_configuration_is_applied(
    sdxl: Any, tmp_path: Path, config: dict[str, Any], alpha: float
) -> None:
    lora = forms.with_alpha(forms.of_attention(forms.of_unet(random_lora(sdxl, size=0.5))), alpha)
    base, expected = output_of(sdxl), output_of(forms.merged(sdxl, lora))
    metadata = {"lora_adapter_metadata": json.dumps(config)}

    load_lora(sdxl, saved(forms.dotted(lora), tmp_path / "a.safetensors", metadata), scale=1.0, model_id="foreign")

    assert_same_effect(sdxl, expected, base)


def test_at_sdxl_s_real_size_every_name_belongs_to_a_layer() -> None:
    names = [*kohya_tensors(LoraLayers.ALL, True), *peft_names(LoraLayers.ALL, True)]
    paths = module_paths(RealSize())

    parsed = [parse_name(name) for name in names]

    assert len(names) > 2841
    assert [name for name, each in zip(names, parsed, strict=True) if each is None] == []
    assert [each for each in parsed if each and (each.component, each.module) not in paths] == []


# --- refused -----------------------------------------------------------------------------------------------------

MODULE = "lora_unet_mid_block_attentions_0_proj_in"


def without(tensors: Tensors, name: str) -> Tensors:
    return {each: tensor for each, tensor in tensors.items() if each != name}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda good: (
                good | forms.kohya({("unet", "conv_in"): good_parts(4, 4)}, sgm=False) | {"emb_params": torch.ones(2)}
            ),
            "textual-inversion embedding (emb_params), which would be dropped",
        ),
        (
            lambda good: good | {f"{MODULE}.oft_blocks": torch.ones(2)},
            f"1 of its tensors can't be applied and would be dropped: {MODULE}.oft_blocks",
        ),
        (
            lambda good: (
                good
                | {
                    f"lora_unet_mid_block_attentions_7_proj_in.{part}.weight": torch.ones(4, 4)
                    for part in ("lora_down", "lora_up")
                }
            ),
            "2 of its 62 tensors match no layer: lora_unet_mid_block_attentions_7_proj_in.lora_down.weight",
        ),
        (
            lambda good: (
                good | {f"{MODULE}.lora_down.weight": torch.ones(4, 65), f"{MODULE}.lora_up.weight": torch.ones(64, 4)}
            ),
            "1 of its 21 layers have other shapes ((4, 65), not (rank, 64))",
        ),
        (
            lambda good: (
                good | {f"{MODULE}.lora_down.weight": torch.ones(4, 64), f"{MODULE}.lora_up.weight": torch.ones(64, 5)}
            ),
            "1 of its 21 layers have other shapes ((64, 5), not (64, 4))",
        ),
        (
            lambda good: good | {f"{MODULE}.hada_w{n}_{side}": torch.ones(4, 4) for n in "12" for side in "ab"},
            "1 of its 21 layers have other shapes ((4, 4), not (64, 64))",
        ),
        (
            lambda good: (
                good
                | {
                    "lora_te1_text_model_embeddings_token_embedding.lora_down.weight": torch.ones(4, 16),
                    "lora_te1_text_model_embeddings_token_embedding.lora_up.weight": torch.ones(4, 4),
                }
            ),
            "a Embedding is neither linear nor a convolution",
        ),
        (
            lambda good: good | {f"{MODULE}.diff": torch.ones(64, 64), f"{MODULE}.diff_b": torch.ones(63)},
            "a bias of (63,), not (64,)",
        ),
    ],
    ids=["embedding", "OFT", "unknown layer", "down", "up", "LoHa", "embedding layer", "bias"],
)
def test_a_file_is_refused_with_the_list_of_what_would_be_dropped(
    sdxl: Any, tmp_path: Path, change: Callable[[Tensors], Tensors], words: str
) -> None:
    base = output_of(sdxl)
    path = saved(change(forms.kohya(random_lora(sdxl))), tmp_path / "a.safetensors")

    with pytest.raises(ModelIncompatibleError) as caught:
        load_lora(sdxl, path, scale=1.0, model_id="foreign")

    assert "LoRA 'foreign' " in str(caught.value)
    assert words in str(caught.value)
    assert torch.equal(output_of(sdxl).vector(), base.vector())


def good_parts(rank: int, width: int) -> tuple[torch.Tensor, torch.Tensor, float]:
    return torch.ones(rank, width), torch.ones(width, rank), 1.0


def test_two_names_of_one_layer_are_refused(sdxl: Any, tmp_path: Path) -> None:
    lora = {place: parts for place, parts in random_lora(sdxl).items() if place[1] == "conv_in"}
    twice = forms.kohya(lora) | {name: tensor.clone() for name, tensor in forms.kohya(lora, sgm=False).items()}
    path = saved(twice, tmp_path / "a.safetensors")

    with pytest.raises(ModelIncompatibleError, match="two sets of weights for one layer: lora_unet_input_blocks_0_0"):
        load_lora(sdxl, path, scale=1.0, model_id="foreign")


@pytest.mark.parametrize(
    "config", ["no json", "[]", '{"unet.lora_alpha": "4"}', '{"unet.alpha_pattern": {"(a+)+b": 1}}', "[" * 100_000]
)
def test_an_unreadable_strength_is_refused(sdxl: Any, tmp_path: Path, config: str) -> None:
    path = saved(forms.dotted(random_lora(sdxl)), tmp_path / "a.safetensors", {"lora_adapter_metadata": config})

    with pytest.raises(ModelIncompatibleError, match="lora_adapter_metadata in its header"):
        load_lora(sdxl, path, scale=1.0, model_id="foreign")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("part", ["lora_up.weight", "alpha"])
def test_nan_and_infinite_weights_are_refused(sdxl: Any, tmp_path: Path, part: str, value: float) -> None:
    """They would spoil every image, even at scale 0."""
    tensors = forms.kohya(random_lora(sdxl))
    first = min(name for name in tensors if name.endswith(part))
    tensors[first].view(-1)[0] = value

    with pytest.raises(ModelIncompatibleError, match=f"1 of its 60 tensors have NaN or infinite values: {first}"):
        load_lora(sdxl, saved(tensors, tmp_path / "a.safetensors"), scale=0.0, model_id="foreign")


@pytest.mark.parametrize("outer", ["text_model.", ""])
def test_alpha_patterns_of_text_encoders_are_applied_with_and_without_the_outer_module(
    sdxl: Any, tmp_path: Path, outer: str
) -> None:
    lora = forms.with_alpha(random_lora(sdxl, size=0.3), 4.0)
    places = [(component, forms.TEXT_LAYERS[0]) for component in ("text_encoder", "text_encoder_2")]
    lora |= {place: (*lora[place][:2], 16.0) for place in places}
    config = {f"{component}.alpha_pattern": {outer + path: 16} for component, path in places}
    config |= {f"{component}.lora_alpha": 4 for component in ("unet", "text_encoder", "text_encoder_2")}
    base, expected = output_of(sdxl), output_of(forms.merged(sdxl, lora))
    metadata = {"lora_adapter_metadata": json.dumps(config)}

    load_lora(sdxl, saved(forms.dotted(lora), tmp_path / "a.safetensors", metadata), scale=1.0, model_id="foreign")

    assert_same_effect(sdxl, expected, base)


def test_a_file_with_many_ranks_is_added_to_the_weights(sdxl: Any, tmp_path: Path) -> None:
    """Files that were resized dynamically have dozens of ranks; an adapter for each takes minutes on SDXL."""
    ranks = [random_lora(sdxl, rank=rank, alpha=rank / 2, seed=rank) for rank in range(1, 21)]
    lora = {place: ranks[number][place] for number, place in enumerate(ranks[0])}
    base, expected = output_of(sdxl), output_of(forms.merged(sdxl, lora))

    load_lora(sdxl, saved(forms.kohya(lora), tmp_path / "a.safetensors"), scale=1.0, model_id="foreign")

    assert_same_effect(sdxl, expected, base)
    assert not getattr(sdxl.unet, "peft_config", {})
