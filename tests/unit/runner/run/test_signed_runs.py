"""Whole runs with a signing certificate: everything that is uploaded is signed, or nothing is."""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import c2pa
import pytest
from PIL import Image
from support.s3_server import BUCKET
from support.signing_certificates import signing_files

from darkroom_contract import environment as names
from darkroom_contract.outcome import Reason
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.storage.keys import Manifest
from darkroom_runner.run.content_credentials import GENERATED
from darkroom_runner.tasks.xmp import GENERATED_FROM_PICTURE

Start = Callable[..., Any]


@pytest.fixture
def certificate(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """The environment of a run with a certificate; options are those of `signing_files`."""

    def make(**options: Any) -> dict[str, str]:
        files = signing_files(tmp_path, **options)
        return {names.C2PA_CERTIFICATE: str(files.certificate), names.C2PA_KEY: str(files.key)}

    return make


@pytest.fixture
def stored(s3: Any) -> Callable[[str], dict[str, bytes]]:
    """The files below a prefix, by their names behind it."""

    def read(prefix: str) -> dict[str, bytes]:
        listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        contents = {each["Key"]: s3.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read() for each in listed}
        return {key.removeprefix(prefix): content for key, content in contents.items()}

    return read


def source_type(content: bytes, content_type: str) -> str:
    """The digital source type in a signature, which must be valid."""
    with c2pa.Reader(content_type, io.BytesIO(content)) as reader:
        assert reader.get_validation_state() == "Valid"
        store = json.loads(reader.json())
    assertions = store["manifests"][store["active_manifest"]]["assertions"]
    [actions] = [each["data"]["actions"] for each in assertions if each["label"] == "c2pa.actions.v2"]
    found: str = actions[0]["digitalSourceType"]
    return found


def generation(s3: Any, **images: Any) -> GenerateJobSpec:
    photo = io.BytesIO()
    Image.effect_noise((64, 64), 60).convert("RGB").save(photo, "PNG")
    s3.put_object(Bucket=BUCKET, Key="images/default/signed.png", Body=photo.getvalue())
    return GenerateJobSpec.from_dict(
        {
            "prompt": "a dog",
            "images": {"steps": 2, **images},
            "startImage": {"uri": f"s3://{BUCKET}/images/default/signed.png"},
            "cache": {"profile": "Disabled"},
        }
    )


def test_all_images_and_the_grid_are_uploaded_signed(
    start_run: Start, s3: Any, stored: Callable[[str], dict[str, bytes]], certificate: Callable[..., dict[str, str]]
) -> None:
    run = start_run(generation(s3, count=2, grid=True), **certificate()).finish()

    assert run.outcome.succeeded, run.log
    files = stored(f"runs/{run.uid}/")
    assert Manifest.model_validate_json(files["manifest.json"]).outcome == run.outcome
    assert [each.name for each in run.outcome.files] == ["a-job-seed-0.png", "a-job-seed-1.png", "a-job-grid.png"]
    for each in run.outcome.files:
        content = files[each.name]
        assert (each.bytes, each.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert source_type(content, each.content_type) == GENERATED_FROM_PICTURE
        assert Image.open(io.BytesIO(content)).info["parameters"].startswith("a dog\n")


def test_a_clip_is_uploaded_signed(
    start_run: Start, stored: Callable[[str], dict[str, bytes]], certificate: Callable[..., dict[str, str]]
) -> None:
    spec = GenerateJobSpec.from_dict(
        {"prompt": "a dog", "allowMotion": True, "images": {"steps": 2}, "video": {"steps": 2}}
    )

    run = start_run(spec, **certificate()).finish()

    files = stored(f"runs/{run.uid}/")
    types = {each.name: source_type(files[each.name], each.content_type) for each in run.outcome.files}
    assert types == {"a-job-seed-0.png": GENERATED, "a-job.mp4": GENERATED}


def test_sample_and_validation_images_of_a_training_are_uploaded_signed(
    start_run: Start,
    put_dataset: Callable[..., str],
    stored: Callable[[str], dict[str, bytes]],
    certificate: Callable[..., dict[str, str]],
) -> None:
    training = {"rank": 4, "validationPrompts": ["a photo of sks dog"], "validationSteps": 1}
    spec = TrainJobSpec.from_dict(
        {
            "modelId": "signed",
            "prompt": "a photo of sks dog",
            "dataset": {"uri": put_dataset()},
            "maxSteps": 2,
            "training": training,
        }
    )

    run = start_run(spec, **certificate()).finish()

    assert run.outcome.succeeded, run.log
    images = {name: content for name, content in stored(f"runs/{run.uid}/").items() if name.endswith(".png")}
    assert {"a-job-validation.png", "a-job-samples.png", "samples/a-job-step-00001-0.png"} <= images.keys()
    assert {source_type(content, "image/png") for content in images.values()} == {GENERATED}


def test_a_run_whose_certificate_has_expired_uploads_no_image(
    start_run: Start, s3: Any, stored: Callable[[str], dict[str, bytes]], certificate: Callable[..., dict[str, str]]
) -> None:
    run = start_run(generation(s3), **certificate(days=-1)).finish()

    assert (run.outcome.succeeded, run.outcome.reason) == (False, Reason.SIGNING_FAILED)
    assert "Renew it." in run.outcome.message
    assert "generated" not in run.log
    assert [name for name in stored(f"runs/{run.uid}/") if not name.startswith("logs/")] == []
