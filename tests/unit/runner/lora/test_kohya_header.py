"""The header of a Kohya file: hashes, thumbnail, precision, and the entries that other tools show."""

import base64
import dataclasses
import hashlib
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save

from darkroom_runner.lora.file_hashes import write_with_hashes
from darkroom_runner.lora.kohya_format import save_kohya_lora
from darkroom_runner.lora.thumbnail import MAX_THUMBNAIL_BYTES, thumbnail_uri


def header_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        metadata: dict[str, str] = file.metadata()
    return metadata


@pytest.fixture
def saved(open_training: Callable[..., Any], photos: Any, tmp_path: Path) -> Callable[..., Path]:
    """Train one step with these settings; the Kohya file."""

    def train(**training: Any) -> Path:
        session = open_training(max_steps=1, **training)
        session.train(photos)
        path: Path = tmp_path / "my-dog.safetensors"
        session.save_kohya(path, {"darkroom.baseModel": "owner/base"})
        return path

    return train


# --- hashes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("megabytes", [0.1, 3], ids=["shorter than 1 MiB", "longer than 1 MiB"])
def test_hashes_are_those_that_kohyas_scripts_write(tmp_path: Path, megabytes: float) -> None:
    """Computed here from the published algorithm, on a file that safetensors itself serializes."""
    tensors = {"a": torch.randn(int(megabytes * 2**18), generator=torch.Generator().manual_seed(1))}
    path = tmp_path / "lora.safetensors"

    write_with_hashes(tensors, path, {"ss_network_dim": "4", "ss_steps": "9", "modelspec.title": "my-dog"})

    whole = save(tensors, {"ss_network_dim": "4", "ss_steps": "9"})
    (length,) = struct.unpack("<Q", whole[:8])
    digest = hashlib.sha256(whole[8 + length :]).hexdigest()
    metadata = header_of(path)
    assert metadata["sshs_model_hash"] == digest
    assert metadata["modelspec.hash_sha256"] == f"0x{digest}"
    assert metadata["sshs_legacy_hash"] == hashlib.sha256(whole[0x100000:0x110000]).hexdigest()[:8]
    assert (metadata["sshs_legacy_hash"] == "e3b0c442") == (megabytes < 1)
    assert torch.equal(load_file(path)["a"], tensors["a"])


def test_hashes_of_a_training_are_those_of_its_tensors(saved: Callable[..., Path]) -> None:
    content = saved().read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    assert metadata["sshs_model_hash"] == hashlib.sha256(content[8 + length :]).hexdigest()


# --- bytes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [{}, {"dora": True, "layers": "All", "trainTextEncoders": True}], ids=["", "dora"])
def test_equal_trainings_give_equal_bytes(
    open_training: Callable[..., Any], photos: Any, tmp_path: Path, training: dict[str, Any]
) -> None:
    contents = set()
    for number in range(2):
        session = open_training(max_steps=1, **training)
        session.train(photos)
        session.save_kohya(
            tmp_path / f"{number}.safetensors", {"darkroom.seed": "0"}, Image.new("RGB", (64, 64), "teal")
        )
        contents.add((tmp_path / f"{number}.safetensors").read_bytes())

    [content] = contents
    (length,) = struct.unpack("<Q", content[:8])
    # safetensors writes the metadata in another order in each process.
    assert list(json.loads(content[8 : 8 + length])["__metadata__"]) == sorted(header_of(tmp_path / "0.safetensors"))


# --- precision ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("precision", "dtype", "digits"),
    [("Float16", torch.float16, 11), ("BFloat16", torch.bfloat16, 8), ("Float32", torch.float32, 24)],
)
def test_weights_are_rounded_to_the_precision_of_the_job(
    open_training: Callable[..., Any], photos: Any, tmp_path: Path, precision: str, dtype: torch.dtype, digits: int
) -> None:
    session = open_training(max_steps=1, filePrecision=precision)
    session.train(photos)
    session.save_kohya(tmp_path / "my-dog.safetensors", {})

    tensors = load_file(tmp_path / "my-dog.safetensors")
    exact = next(each for name, each in session.adapters.state().items() if "lora_A" in name)
    stored = next(each for name, each in tensors.items() if each.shape == exact.shape and close(each, exact))
    assert {tensor.dtype for tensor in tensors.values()} == {dtype}
    assert float(((stored.float() - exact) / exact).abs().max()) <= 2.0**-digits


def close(stored: torch.Tensor, exact: torch.Tensor) -> bool:
    return torch.allclose(stored.float(), exact, rtol=1e-2, atol=1e-6)


# --- thumbnail ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1024, 1024), (1536, 640), (64, 64)])
def test_a_thumbnail_is_a_small_picture_of_the_same_shape(size: tuple[int, int]) -> None:
    """Noise compresses worst."""
    noise = torch.randint(0, 255, (size[1], size[0], 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    uri = thumbnail_uri(Image.fromarray(noise.numpy()))

    assert len(uri) <= MAX_THUMBNAIL_BYTES
    kind, _, content = uri.partition(",")
    assert kind == "data:image/jpeg;base64"
    picture = Image.open(io.BytesIO(base64.b64decode(content)))
    assert max(picture.size) <= 256
    assert picture.width / picture.height == pytest.approx(size[0] / size[1], rel=0.05)


def test_a_plain_picture_keeps_more_pixels_than_noise() -> None:
    plain = thumbnail_uri(Image.new("RGB", (1024, 1024), "teal"))
    assert Image.open(io.BytesIO(base64.b64decode(plain.partition(",")[2]))).size == (256, 256)


def test_the_file_shows_the_thumbnail_of_the_training(
    open_training: Callable[..., Any], photos: Any, tmp_path: Path
) -> None:
    session = open_training(max_steps=1)
    session.train(photos)
    session.save_kohya(tmp_path / "my-dog.safetensors", {}, Image.new("RGB", (64, 64), "teal"))
    assert header_of(tmp_path / "my-dog.safetensors")["modelspec.thumbnail"].startswith("data:image/jpeg;base64,")


# --- what tools show ---------------------------------------------------------------------------------------------


def test_the_model_specification_is_complete_without_a_date(saved: Callable[..., Path]) -> None:
    metadata = header_of(saved())
    specification = {name.removeprefix("modelspec."): text for name, text in metadata.items() if "modelspec." in name}
    assert specification.pop("hash_sha256").startswith("0x")
    assert specification.pop("implementation_version").startswith("darkroom/")
    # `date` is left out: equal trainings give equal files.
    assert specification == {
        "sai_model_spec": "1.0.1",
        "architecture": "stable-diffusion-xl-v1-base/lora",
        "implementation": "https://github.com/Stability-AI/generative-models",
        "title": "my-dog",
        "resolution": "64x64",
        "trigger_phrase": "a photo of sks dog",
        "prediction_type": "v",
    }


def test_settings_have_kohyas_names(saved: Callable[..., Path]) -> None:
    settings = {"layers": "All", "alpha": 32, "noiseOffset": 0.05, "minSnrGamma": 5, "seed": 7, "resolution": 128}
    text = {"trainTextEncoders": True, "textEncoderLearningRate": 1e-5, "shuffleTags": True, "loraDropout": 0.1}
    metadata = header_of(saved(**settings, **text))
    assert (
        metadata.items()
        >= {
            "ss_base_model_version": "sdxl_base_v1-0",
            "ss_v2": "False",
            "ss_output_name": "my-dog",
            "ss_sd_model_name": "owner/base",
            "ss_network_module": "networks.lora",
            "ss_network_dim": "4",
            # Alpha is folded into the weights.
            "ss_network_alpha": "4",
            "ss_network_args": '{"conv_dim": "4", "conv_alpha": "4"}',
            "ss_network_dropout": "0.1",
            "ss_resolution": "(128, 128)",
            "ss_steps": "1",
            "ss_seed": "7",
            "ss_optimizer": "AdamW",
            "ss_unet_lr": "0.01",
            "ss_text_encoder_lr": "1e-05",
            "ss_noise_offset": "0.05",
            "ss_min_snr_gamma": "5.0",
            "ss_shuffle_caption": "True",
            "ss_keep_tokens": "1",
            "ss_enable_bucket": "True",
        }.items()
    )


def test_tags_of_captions_are_counted_as_kohya_counts_them(
    open_training: Callable[..., Any], photos: Any, tmp_path: Path
) -> None:
    session = open_training(max_steps=1)
    session.train(photos)
    captions = {"a photo of sks dog": ["sks dog, Grass,  sun", "sks dog, sun"], "a photo of xyz cat": ["xyz cat"]}
    path = tmp_path / "my-dog.safetensors"

    save_kohya_lora(session.adapters, path, {}, session.spec, captions=captions)

    metadata = header_of(path)
    assert json.loads(metadata["ss_tag_frequency"]) == {
        "a photo of sks dog": {"grass": 1, "sks dog": 2, "sun": 2},
        "a photo of xyz cat": {"xyz cat": 1},
    }
    assert metadata["ss_num_train_images"] == "3"


def test_a_training_counts_the_texts_of_its_photos(
    open_training: Callable[..., Any], photos: Any, tmp_path: Path
) -> None:
    """A photo without a caption has the instance prompt."""
    session = open_training(max_steps=1)
    session.train([dataclasses.replace(photos[0], caption="sks dog, grass"), *photos[1:]])
    session.save_kohya(tmp_path / "my-dog.safetensors", {})

    metadata = header_of(tmp_path / "my-dog.safetensors")
    tags = {"a photo of sks dog": 2, "grass": 1, "sks dog": 1}
    assert json.loads(metadata["ss_tag_frequency"]) == {"a photo of sks dog": tags}
    assert metadata["ss_num_train_images"] == "3"
