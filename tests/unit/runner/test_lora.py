"""A LoRA's way through a file: what was trained is what is loaded, to the bit, by anyone."""

import json
import subprocess
import sys
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
from darkroom_runner.lora_file import _sort_metadata

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


@pytest.mark.parametrize("alpha", [2, 3, 32])
def test_a_loader_of_tensors_alone_applies_the_strength_of_the_training(
    trained: Callable[..., Any], sdxl: Any, tmp_path: Path, alpha: int
) -> None:
    """Such as diffusers before 0.34: it takes alpha for the rank."""
    path, expected = trained(alpha=alpha, learningRate=1e-3)
    save_file(load_file(path), tmp_path / "tensors.safetensors")

    sdxl.load_lora_weights(str(tmp_path), weight_name="tensors.safetensors")

    torch.testing.assert_close(draw(sdxl), expected, rtol=0, atol=0 if alpha != 3 else 1e-4)


def test_folding_rounds_once(open_training: Callable[..., Any], photos: Any) -> None:
    session = open_training(alpha=3, max_steps=1)
    session.learn(photos)
    plain, folded = session.adapters.state(), session.adapters.folded_state()

    for name, tensor in plain.items():
        exact = tensor.double() * (0.75 if "lora_B" in name else 1.0)
        assert torch.equal(folded[name], exact.float())


def test_a_lora_of_darkroom_0_1_is_loaded_at_its_strength(
    open_training: Callable[..., Any], photos: Any, sdxl: Any, tmp_path: Path
) -> None:
    """It has alpha in its header, lora_B as it was trained, and no patterns."""
    session = open_training(alpha=32)
    session.learn(photos)
    session.pipeline.unet.eval()
    expected = draw(session.pipeline)
    config = {"unet.r": 4, "unet.lora_alpha": 32, "unet.target_modules": list(session.adapters.targets["unet"])}
    path = tmp_path / "pytorch_lora_weights.safetensors"
    metadata = {"format": "pt", "lora_adapter_metadata": json.dumps(config)}
    save_file(session.adapters.state(), path, metadata=metadata)

    lora.load(sdxl, path, scale=1.0, model_id="my-dog")

    assert torch.equal(draw(sdxl), expected)


def test_equal_trainings_give_equal_files(tmp_path: Path) -> None:
    """In processes of their own: the order of safetensors' hash map differs between them."""
    script = (
        "import sys, torch; from pathlib import Path; from darkroom_runner.lora_file import write_safetensors;"
        "facts = {f'darkroom.{n}': 'ünï \\x7f \"' for n in range(20)};"
        "write_safetensors({'b': torch.ones(3), 'a': torch.zeros(2, dtype=torch.half)}, Path(sys.argv[1]), facts)"
    )
    contents = set()
    for number in range(3):
        path = tmp_path / f"{number}.safetensors"
        subprocess.run([sys.executable, "-c", script, str(path)], check=True)
        contents.add(path.read_bytes())

    assert len(contents) == 1
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {f"darkroom.{number}": 'ünï \x7f "' for number in range(20)}
    tensors = load_file(path)
    assert torch.equal(tensors["b"], torch.ones(3))
    assert torch.equal(tensors["a"], torch.zeros(2, dtype=torch.half))


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
    config = json.loads(metadata["lora_adapter_metadata"])
    for component in ("unet", "text_encoder", "text_encoder_2"):
        # diffusers 0.34 to 0.39 raise a KeyError without the patterns.
        assert config[f"{component}.rank_pattern"] == config[f"{component}.alpha_pattern"] == {}
        assert config[f"{component}.r"] == config[f"{component}.lora_alpha"] == 4
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


@pytest.mark.parametrize("header", [b'{"__metadata__":{},"a":1E400}', b"{}", b"not JSON", b'{"__metadata__":[]}'])
def test_a_header_that_is_written_in_another_way_stays_as_it_is(
    tmp_path: Path, header: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path, content = tmp_path / "a.safetensors", len(header).to_bytes(8, "little") + header + b"weights"
    path.write_bytes(content)

    _sort_metadata(path)

    assert path.read_bytes() == content
    assert "the header of a.safetensors stays" in caplog.text
