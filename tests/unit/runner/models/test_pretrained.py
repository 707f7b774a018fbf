"""Base models are found by name in the model root or on the hub, and nowhere else."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from darkroom_runner.errors import BaseModelNotFoundError, ModelIncompatibleError
from darkroom_runner.models.pretrained import SDXL, SVD, PretrainedModel, find_pretrained, load_pipeline
from darkroom_runner.models.weight_files import weight_files
from darkroom_runner.run.start_clock import StartClock, StartPart

CPU = torch.device("cpu")


def test_a_folder_of_the_model_root_is_found_by_name(model_root: Path) -> None:
    assert find_pretrained("test-sdxl", SDXL, model_root).folder == model_root / "test-sdxl"


@pytest.mark.parametrize(
    "name", ["../models/test-sdxl", "..", "/etc", "test-sdxl\n", "a/b/c", "", "./test-sdxl", "x y"]
)
def test_an_invalid_name_never_becomes_a_path(model_root: Path, name: str) -> None:
    with pytest.raises(BaseModelNotFoundError, match="is not the name of a base model"):
        find_pretrained(name, SDXL, model_root)


def test_a_name_without_owner_is_not_looked_up_on_the_hub(model_root: Path) -> None:
    with pytest.raises(BaseModelNotFoundError, match=r"Put its folder there, or use the name of a hub repository"):
        find_pretrained("no-such-model", SDXL, model_root)


@pytest.mark.parametrize("root", [None, "the root"])
def test_owner_and_name_refer_to_the_hub(model_root: Path, root: str | None) -> None:
    name = "stabilityai/stable-diffusion-xl-base-1.0"

    assert find_pretrained(name, SDXL, model_root if root else None) == PretrainedModel(name, SDXL, None)


def test_an_unreachable_hub_is_reported() -> None:
    with pytest.raises(BaseModelNotFoundError, match="not in the runner's model root and can't be loaded"):
        load_pipeline(PretrainedModel("nobody/nothing-here", SDXL, None), torch.float32, CPU)


def test_a_video_model_is_refused_for_text_to_image(model_root: Path) -> None:
    with pytest.raises(ModelIncompatibleError, match=f"is for {SVD}; this run needs one for {SDXL}"):
        find_pretrained("test-svd", SDXL, model_root)


def test_a_folder_with_missing_weights_is_reported(model_root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hollow"
    folder.mkdir()
    folder.joinpath("model_index.json").write_text((model_root / "test-sdxl" / "model_index.json").read_text())

    with pytest.raises(ModelIncompatibleError, match="'hollow' can't be loaded"):
        load_pipeline(find_pretrained("hollow", SDXL, tmp_path), torch.float32, CPU)


@pytest.mark.parametrize(("name", "kind"), [("test-sdxl", SDXL), ("test-svd", SVD)])
def test_weights_are_bit_for_bit_those_of_the_files(model_root: Path, name: str, kind: str) -> None:
    """And nothing is initialised at random before it is overwritten."""
    random_state = torch.random.get_rng_state()

    pipeline = load_pipeline(find_pretrained(name, kind, model_root), torch.float32, CPU)

    assert torch.equal(torch.random.get_rng_state(), random_state)
    files = weight_files(model_root / name)
    assert len(files) >= 3
    for file in files:
        # transformers 5 has no outer `text_model`, which files may have.
        loaded, stored = (
            {each.removeprefix("text_model."): tensor for each, tensor in state.items()}
            for state in (getattr(pipeline, file.parent.name).state_dict(), load_file(file))
        )
        assert loaded.keys() == stored.keys()
        assert all(torch.equal(loaded[each], stored[each]) for each in stored)


def test_loading_ends_its_parts_of_the_start(model_root: Path) -> None:
    start = StartClock()

    load_pipeline(find_pretrained("test-sdxl", SDXL, model_root), torch.float32, CPU, start=start)

    assert list(start.seconds) == [StartPart.WEIGHTS, StartPart.DEVICE]
    assert start.seconds[StartPart.WEIGHTS] > 0


def test_half_precision_files_are_read_if_there_are_no_others(sdxl: Any, tmp_path: Path) -> None:
    sdxl.save_pretrained(tmp_path / "half", variant="fp16")

    pipeline = load_pipeline(find_pretrained("half", SDXL, tmp_path), torch.float32, CPU)

    assert pipeline.unet.dtype == torch.float32


def test_pickled_weights_are_never_read(model_root: Path, sdxl: Any, tmp_path: Path) -> None:
    sdxl.save_pretrained(tmp_path / "pickled", safe_serialization=False)
    assert list(tmp_path.rglob("*.bin"))

    with pytest.raises(ModelIncompatibleError, match="can't be loaded"):
        load_pipeline(find_pretrained("pickled", SDXL, tmp_path), torch.float32, CPU)


def test_precision_can_differ_by_component(model_root: Path) -> None:
    precision = {"vae": torch.float32, "default": torch.bfloat16}

    pipeline = load_pipeline(find_pretrained("test-sdxl", SDXL, model_root), precision, CPU)

    assert (pipeline.vae.dtype, pipeline.unet.dtype) == (torch.float32, torch.bfloat16)


def test_a_folder_with_another_pipeline_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    folder.joinpath("model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))

    with pytest.raises(ModelIncompatibleError, match="is for FluxPipeline"):
        find_pretrained("odd", SDXL, tmp_path)
