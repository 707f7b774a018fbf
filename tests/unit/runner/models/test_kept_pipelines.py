"""Base models that stay in memory between runs: when they serve the next run, and when they are dropped."""

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.runner_processes import SDXL_NAME, SVD_NAME

from darkroom_runner.models import free_memory, kept_pipelines, pretrained
from darkroom_runner.models.device import Device, find_device
from darkroom_runner.models.kept_pipelines import KeptPipelines
from darkroom_runner.models.pretrained import SDXL, SVD, PretrainedModel, find_pretrained


@pytest.fixture
def root(model_root: Path, tmp_path: Path) -> Path:
    """A copy of the model root that a test may change."""
    shutil.copytree(model_root, tmp_path / "models")
    return tmp_path / "models"


@pytest.fixture
def sdxl_model(root: Path) -> PretrainedModel:
    return find_pretrained(SDXL_NAME, SDXL, root)


@pytest.fixture
def svd_model(root: Path) -> PretrainedModel:
    return find_pretrained(SVD_NAME, SVD, root)


@pytest.fixture
def device() -> Device:
    return find_device()


@pytest.fixture
def pipelines() -> KeptPipelines:
    return KeptPipelines(keeping=True)


def is_freed(pipeline: Any) -> bool:
    return bool(pipeline.unet.device.type == "meta")


def test_next_run_gets_the_same_models_and_a_new_sampler(
    pipelines: KeptPipelines, sdxl_model: PretrainedModel, device: Device
) -> None:
    first = pipelines.load(sdxl_model, device)
    own = first.scheduler
    first.scheduler = None
    own.set_timesteps(4)
    pipelines.restore()

    second = pipelines.load(sdxl_model, device)

    assert second is not first
    assert second.unet is first.unet
    assert second.scheduler is not own
    assert (type(second.scheduler), second.scheduler.config) == (type(own), own.config)
    assert second.scheduler.num_inference_steps is None
    assert second.config == pretrained.load_pipeline(sdxl_model, torch.float32, device.torch_device).config


def test_without_keeping_every_run_loads_again(sdxl_model: PretrainedModel, device: Device) -> None:
    pipelines = KeptPipelines()
    first = pipelines.load(sdxl_model, device)

    assert pipelines.load(sdxl_model, device).unet is not first.unet
    assert pipelines.bytes_on("cpu") == 0

    pipelines.release(first, device)
    assert is_freed(first)


def test_changed_model_is_loaded_again(
    pipelines: KeptPipelines, sdxl_model: PretrainedModel, device: Device, root: Path
) -> None:
    first = pipelines.load(sdxl_model, device)
    weights = next((root / SDXL_NAME / "unet").glob("*.safetensors"))
    facts = weights.stat()
    os.utime(weights, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))

    second = pipelines.load(sdxl_model, device)

    assert second.unet is not first.unet
    assert is_freed(first)


def test_old_weights_are_freed_before_new_ones_are_loaded(
    pipelines: KeptPipelines, sdxl_model: PretrainedModel, device: Device, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both at once may not fit into memory."""
    first = pipelines.load(sdxl_model, device)
    weights = next((root / SDXL_NAME / "unet").glob("*.safetensors"))
    weights.touch()
    load, freed = kept_pipelines.load_pipeline, list[bool]()

    def load_late(*arguments: Any, **options: Any) -> Any:
        freed.append(is_freed(first))
        return load(*arguments, **options)

    monkeypatch.setattr(kept_pipelines, "load_pipeline", load_late)
    pipelines.load(sdxl_model, device)

    assert freed == [True]


def test_file_behind_a_linked_folder_counts(
    pipelines: KeptPipelines, sdxl_model: PretrainedModel, device: Device, root: Path
) -> None:
    (root / SDXL_NAME / "unet").rename(root / "elsewhere")
    (root / SDXL_NAME / "unet").symlink_to(root / "elsewhere")
    first = pipelines.load(sdxl_model, device)
    assert pipelines.load(sdxl_model, device).unet is first.unet

    config = root / "elsewhere" / "config.json"
    config.write_text(config.read_text() + "\n")

    assert pipelines.load(sdxl_model, device).unet is not first.unet


def test_another_precision_is_loaded_again(
    pipelines: KeptPipelines, sdxl_model: PretrainedModel, device: Device
) -> None:
    first = pipelines.load(sdxl_model, device)
    half = pipelines.load(sdxl_model, replace(device, inference_dtype=torch.float16))

    assert half.unet.dtype == torch.float16
    assert is_freed(first)


def test_changed_weights_are_dropped_after_the_run(
    pipelines: KeptPipelines, sdxl_model: PretrainedModel, device: Device
) -> None:
    first = pipelines.load(sdxl_model, device)
    with torch.no_grad():
        first.unet.conv_in.weight[0, 0, 0, 0] += 1
    pipelines.restore()

    assert is_freed(first)
    assert pipelines.bytes_on("cpu") == 0


@pytest.mark.parametrize(("factor", "kept"), [(1000, True), (2, False)], ids=["plenty", "short"])
def test_another_kind_of_model_drops_it_only_if_memory_is_short(
    pipelines: KeptPipelines,
    sdxl_model: PretrainedModel,
    svd_model: PretrainedModel,
    device: Device,
    monkeypatch: pytest.MonkeyPatch,
    factor: int,
    kept: bool,
) -> None:
    first = pipelines.load(sdxl_model, device)
    monkeypatch.setattr(free_memory, "free_bytes", lambda device: factor * pipelines.bytes_on("cpu"))
    pipelines.release(first, device)
    assert is_freed(first) != kept

    clip = pipelines.load(svd_model, device)

    assert is_freed(first) != kept
    assert pipelines.load(svd_model, device).unet is clip.unet
    assert (pipelines.load(sdxl_model, device).unet is first.unet) == kept


def test_dropped_models_free_their_memory(
    pipelines: KeptPipelines, sdxl_model: PretrainedModel, svd_model: PretrainedModel, device: Device
) -> None:
    loaded = [pipelines.load(sdxl_model, device), pipelines.load(svd_model, device)]
    pipelines.drop()

    assert [is_freed(each) for each in loaded] == [True, True]
    assert pipelines.bytes_on("cpu") == 0


COMMIT = "a" * 40


@pytest.fixture
def hub(root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A hub cache with the model under two commits; the value is the one that its branch refers to."""
    branch = {"main": COMMIT}
    for commit in (COMMIT, "b" * 40):
        shutil.copytree(root / SDXL_NAME, root / "snapshots" / commit)

    def download(model: PretrainedModel, variant: str | None) -> str:
        return str(root / "snapshots" / branch["main"])

    monkeypatch.setattr(pretrained, "_download", download)
    return branch


def test_model_of_the_hub_is_loaded_again_once_its_branch_has_another_commit(
    pipelines: KeptPipelines, hub: dict[str, str], device: Device
) -> None:
    model = PretrainedModel("owner/name", SDXL, None)
    first = pipelines.load(model, device)
    assert pipelines.load(model, device).unet is first.unet

    hub["main"] = "b" * 40
    second = pipelines.load(model, device)

    assert second.unet is not first.unet
    assert model.used(second).commit == "b" * 40


def test_full_commit_needs_no_request_to_the_hub(pipelines: KeptPipelines, hub: dict[str, str], device: Device) -> None:
    model = PretrainedModel(f"owner/name@{COMMIT}", SDXL, None)
    first = pipelines.load(model, device)
    hub.clear()

    assert pipelines.load(model, device).unet is first.unet
