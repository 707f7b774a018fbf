"""Base models by name: found in the model root, else on the hub; never anywhere else."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from darkroom_runner.base_models import SDXL, SVD, BaseModel, load_pipeline, locate
from darkroom_runner.errors import BaseModelNotFoundError, ModelIncompatibleError

CPU = torch.device("cpu")


def test_a_folder_of_the_model_root_is_found_by_its_name(model_root: Path) -> None:
    assert locate("test-sdxl", SDXL, model_root).folder == model_root / "test-sdxl"


@pytest.mark.parametrize(
    "name", ["../models/test-sdxl", "..", "/etc", "test-sdxl\n", "a/b/c", "", "./test-sdxl", "x y"]
)
def test_what_is_no_name_never_becomes_a_path(model_root: Path, name: str) -> None:
    with pytest.raises(BaseModelNotFoundError, match="is not the name of a base model"):
        locate(name, SDXL, model_root)


def test_a_name_without_owner_is_not_asked_of_the_hub(model_root: Path) -> None:
    with pytest.raises(BaseModelNotFoundError, match=r"Put its folder there, or name a repository"):
        locate("no-such-model", SDXL, model_root)


@pytest.mark.parametrize("root", [None, "the root"])
def test_owner_and_name_go_to_the_hub(model_root: Path, root: str | None) -> None:
    name = "stabilityai/stable-diffusion-xl-base-1.0"

    assert locate(name, SDXL, model_root if root else None) == BaseModel(name, SDXL, None)


def test_a_hub_that_is_out_of_reach_is_told() -> None:
    with pytest.raises(BaseModelNotFoundError, match=r"neither in the runner's model root nor to be had from the hub"):
        load_pipeline(BaseModel("nobody/nothing-here", SDXL, None), torch.float32, CPU)


def test_a_video_model_is_refused_where_pictures_are_wanted(model_root: Path) -> None:
    with pytest.raises(ModelIncompatibleError, match=f"is for {SVD}; this run needs one for {SDXL}"):
        locate("test-svd", SDXL, model_root)


def test_a_folder_with_missing_weights_is_told(model_root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hollow"
    folder.mkdir()
    folder.joinpath("model_index.json").write_text((model_root / "test-sdxl" / "model_index.json").read_text())

    with pytest.raises(ModelIncompatibleError, match="'hollow' can't be loaded"):
        load_pipeline(locate("hollow", SDXL, tmp_path), torch.float32, CPU)


def test_half_precision_files_are_read_where_there_are_no_others(sdxl: Any, tmp_path: Path) -> None:
    sdxl.save_pretrained(tmp_path / "half", variant="fp16")

    pipeline = load_pipeline(locate("half", SDXL, tmp_path), torch.float32, CPU)

    assert pipeline.unet.dtype == torch.float32


def test_pickled_weights_are_never_read(model_root: Path, sdxl: Any, tmp_path: Path) -> None:
    sdxl.save_pretrained(tmp_path / "pickled", safe_serialization=False)
    assert list(tmp_path.rglob("*.bin"))

    with pytest.raises(ModelIncompatibleError, match="can't be loaded"):
        load_pipeline(locate("pickled", SDXL, tmp_path), torch.float32, CPU)


def test_precision_by_component_is_kept(model_root: Path) -> None:
    precision = {"vae": torch.float32, "default": torch.bfloat16}

    pipeline = load_pipeline(locate("test-sdxl", SDXL, model_root), precision, CPU)

    assert (pipeline.vae.dtype, pipeline.unet.dtype) == (torch.float32, torch.bfloat16)


def test_the_index_of_a_folder_must_be_json_of_a_pipeline(tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    folder.joinpath("model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))

    with pytest.raises(ModelIncompatibleError, match="is for FluxPipeline"):
        locate("odd", SDXL, tmp_path)
