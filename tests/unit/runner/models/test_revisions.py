"""Revisions of a base model: the requested one is loaded, and every artifact records its commit.

The hub cache has huggingface_hub's layout, with two commits of one repository; no network is needed.
"""

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support.warm_parent.installation import WarmParent

from darkroom_contract.outcome import Reason
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.storage.keys import Manifest, ModelRecord

BUCKET = "darkroom"
FIRST, SECOND = "1" * 40, "2" * 40
NAME = "studio/small"


@pytest.fixture(scope="module")
def hub_home(tmp_path_factory: pytest.TempPathFactory, model_root: Path) -> Path:
    """A folder for HF_HOME, in which `main` is the second commit and `v1` the first."""
    home = tmp_path_factory.mktemp("hub")
    repository = home / "hub" / "models--studio--small"
    for commit in (FIRST, SECOND):
        shutil.copytree(model_root / "test-sdxl", repository / "snapshots" / commit)
    changed = repository / "snapshots" / SECOND / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({name: tensor * 1.05 for name, tensor in load_file(changed).items()}, changed)
    (repository / "refs").mkdir()
    for name, commit in (("main", SECOND), ("v1", FIRST)):
        (repository / "refs" / name).write_text(commit)
    return home


@pytest.fixture(scope="module")
def run_environment(run_environment: dict[str, str], hub_home: Path) -> dict[str, str]:
    """Of all runs here: with that cache."""
    return {**run_environment, "HF_HOME": str(hub_home)}


@pytest.fixture(scope="module")
def warm_runner(tmp_path_factory: pytest.TempPathFactory, run_environment: dict[str, str]) -> Iterator[WarmParent]:
    """A warm parent of its own, since libraries read HF_HOME as they are imported."""
    with WarmParent(tmp_path_factory.mktemp("warm"), "darkroom_runner", run_environment).serving() as parent:
        yield parent


@pytest.fixture
def run(start_run: Callable[..., Any]) -> Callable[..., Any]:
    """Start a run and wait for it."""
    return lambda spec, base_model: start_run(spec, base_model=base_model).finish()


def generation(**spec: Any) -> GenerateJobSpec:
    images = {"steps": 2, "width": 64, "height": 64}
    return GenerateJobSpec.from_dict({"prompt": "a dog", "images": images, "cache": {"profile": "Disabled"}, **spec})


def read(s3: Any, key: str) -> bytes:
    content: bytes = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return content


def generated(s3: Any, uid: str) -> tuple[bytes, dict[str, Any]]:
    with Image.open(io.BytesIO(read(s3, f"runs/{uid}/a-job-seed-0.png"))) as found:
        return found.tobytes(), json.loads(found.info["darkroom"])


def test_each_revision_loads_its_weights_and_records_its_commit(run: Callable[..., Any], s3: Any) -> None:
    pixels = {}
    for revision, commit in (("", SECOND), ("@v1", FIRST), (f"@{SECOND}", SECOND)):
        done = run(generation(), NAME + revision)
        assert done.outcome.succeeded, done.log
        pixels[revision], metadata = generated(s3, done.uid)
        assert (metadata["baseModel"], metadata["baseModelCommit"]) == (NAME + revision, commit)
        manifest = Manifest.model_validate_json(read(s3, f"runs/{done.uid}/manifest.json"))
        assert [(each.reference, each.commit) for each in manifest.base_models] == [(NAME + revision, commit)]
    assert pixels[""] == pixels[f"@{SECOND}"] != pixels["@v1"]


def test_a_lora_records_its_commit_and_using_another_adds_a_remark(
    run: Callable[..., Any], put_dataset: Callable[..., str], s3: Any, tmp_path: Path
) -> None:
    document = {"modelId": "pinned", "prompt": "a photo of sks dog", "dataset": {"uri": put_dataset()}, "maxSteps": 1}
    trained = run(TrainJobSpec.from_dict({**document, "training": {"rank": 4}}), f"{NAME}@v1")
    assert trained.outcome.succeeded, trained.log
    for name in ("pytorch_lora_weights.safetensors", "pinned.safetensors"):
        path = tmp_path / name
        path.write_bytes(read(s3, f"runs/{trained.uid}/{name}"))
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
        assert (metadata["darkroom.baseModel"], metadata["darkroom.baseModelCommit"]) == (f"{NAME}@v1", FIRST)
    record = ModelRecord.model_validate_json(read(s3, "models/default/pinned/model.json"))
    assert (record.base_model, record.base_model_commit) == (f"{NAME}@v1", FIRST)

    same = run(generation(modelId="pinned"), f"{NAME}@{FIRST}")
    assert [each.reason for each in same.outcome.remarks] == []
    other = run(generation(modelId="pinned"), NAME)
    assert [each.reason for each in other.outcome.remarks] == ["BaseModelDiffers"]
    assert f"'{NAME}@v1' (commit 111111111111) and used here on '{NAME}' (commit 222222222222)" in (
        other.outcome.remarks[0].message
    )


def test_a_missing_revision_fails_at_once(run: Callable[..., Any]) -> None:
    done = run(generation(), f"{NAME}@v9")
    assert done.outcome.reason is Reason.BASE_MODEL_NOT_FOUND
    assert f"'{NAME}@v9'" in done.outcome.message
