"""A LoRA's way through a file: what was trained is what is loaded, to the bit, by anyone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from darkroom_runner import lora
from darkroom_runner.device import generator
from darkroom_runner.errors import ModelIncompatibleError

EVERYTHING = {"layers": "All", "trainTextEncoders": True, "alpha": 2}


def draw(pipeline: Any) -> torch.Tensor:
    latents: torch.Tensor = pipeline(
        "a photo of sks dog", num_inference_steps=3, generator=generator(1), output_type="latent"
    ).images
    return latents


@pytest.fixture
def trained(open_training: Callable[..., Any], photos: Any, tmp_path: Path) -> Callable[..., tuple[Path, torch.Tensor]]:
    """Train a LoRA: its file, and latents that the trained pipeline itself draws."""

    def train(**training: Any) -> tuple[Path, torch.Tensor]:
        session = open_training(**training)
        session.learn(photos)
        path = tmp_path / "pytorch_lora_weights.safetensors"
        session.save(path, {"darkroom.prompt": "a photo of sks dog"})
        session.pipeline.unet.eval()
        return path, draw(session.pipeline)

    return train


@pytest.mark.parametrize("training", [{}, {"layers": "All"}, {"trainTextEncoders": True}, EVERYTHING])
def test_a_reload_is_exact(trained: Callable[..., Any], sdxl: Any, training: dict[str, Any]) -> None:
    path, expected = trained(**training)
    without = draw(sdxl)

    lora.load(sdxl, path, scale=1.0, model_id="my-dog")

    assert torch.equal(draw(sdxl), expected)
    assert not torch.equal(expected, without)


def test_plain_diffusers_loads_the_file_alike(trained: Callable[..., Any], sdxl: Any) -> None:
    path, expected = trained(**EVERYTHING)

    sdxl.load_lora_weights(str(path))

    assert torch.equal(draw(sdxl), expected)


def test_scale_0_is_the_base_model_and_scale_2_is_stronger(trained: Callable[..., Any], sdxl: Any) -> None:
    plain = draw(sdxl)
    path, once = trained()

    lora.load(sdxl, path, scale=0.0, model_id="my-dog")
    torch.testing.assert_close(draw(sdxl), plain, rtol=0, atol=1e-4)

    sdxl.set_adapters([lora.ADAPTER], adapter_weights=[2.0])
    assert not torch.equal(draw(sdxl), once)


def test_the_file_says_how_it_was_made_and_names_no_path(trained: Callable[..., Any], tmp_path: Path) -> None:
    path, _ = trained(**EVERYTHING)

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()

    assert metadata["darkroom.prompt"] == "a photo of sks dog"
    assert json.loads(metadata["lora_adapter_metadata"])["unet.lora_alpha"] == 2
    assert str(tmp_path.parent) not in json.dumps(metadata)


def test_a_lora_of_another_base_model_is_refused(trained: Callable[..., Any], sdxl: Any, tmp_path: Path) -> None:
    path, _ = trained()
    weights = {name: torch.zeros(4, 7) if "lora_A" in name else each for name, each in load_file(path).items()}
    save_file(weights, path)

    with pytest.raises(ModelIncompatibleError, match="does not fit this base model"):
        lora.load(sdxl, path, scale=1.0, model_id="my-dog")


@pytest.mark.filterwarnings("ignore:.*unexpected keys.*")
@pytest.mark.parametrize("change", ["missing", "unexpected", "empty"])
def test_a_lora_that_fits_only_in_part_is_refused(trained: Callable[..., Any], sdxl: Any, change: str) -> None:
    path, _ = trained()
    weights = load_file(path)
    first = next(iter(weights))
    if change == "missing":
        del weights[first]
    elif change == "unexpected":
        weights[first.replace("attentions.0", "attentions.9")] = weights[first].clone()
    else:
        weights = {}
    save_file(weights, path, metadata={"format": "pt"})

    with pytest.raises(ModelIncompatibleError, match="'my-dog'"):
        lora.load(sdxl, path, scale=1.0, model_id="my-dog")


@pytest.mark.parametrize("content", [b"", b"not safetensors", None])
def test_a_broken_file_is_refused(
    trained: Callable[..., Any], sdxl: Any, tmp_path: Path, content: bytes | None
) -> None:
    path, _ = trained()
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)

    with pytest.raises(ModelIncompatibleError, match="'my-dog'"):
        lora.load(sdxl, path, scale=1.0, model_id="my-dog")
