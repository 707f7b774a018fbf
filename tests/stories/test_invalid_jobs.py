"""Invalid jobs from YAML, which bypasses the gateway's checks: each fails at once and says what to change."""

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from PIL import Image
from support.darkroom_up import PHOTOS, Darkroom

Store = Callable[[str, dict[str, bytes]], str]


def test_invalid_photos_fail_the_job_and_are_named(darkroom: Darkroom, store_photos: Store) -> None:
    whole = PHOTOS[0].read_bytes()
    uri = store_photos("bad", {"1.png": whole, "text.jpg": b"this is no picture", "cut.png": whole[:200]})
    failure = _failure(darkroom, "bad-photos", "TrainJob", **_training(uri))
    assert failure["reason"] == "DatasetInvalid"
    assert "text.jpg" in failure["message"] or "cut.png" in failure["message"]


def test_photo_30_000_pixels_wide_is_refused_before_decoding(darkroom: Darkroom, store_photos: Store) -> None:
    wide = BytesIO()
    Image.new("RGB", (30_000, 64)).save(wide, "PNG")
    failure = _failure(darkroom, "wide", "TrainJob", **_training(store_photos("wide", {"wide.png": wide.getvalue()})))
    assert failure["reason"] == "DatasetInvalid"
    assert "30000" in failure["message"].replace(",", "").replace(" ", "")


@pytest.mark.parametrize(
    ("name", "spec", "reason"),
    [
        ("no-model", {"prompt": "a red circle", "modelId": "never-trained"}, "ModelNotFound"),
        ("no-base", {"prompt": "a red circle", "baseModel": "no-such-model"}, "BaseModelNotFound"),
        ("wrong-kind", {"prompt": "a red circle", "baseModel": "darkroom-tiny-svd"}, "ModelIncompatible"),
    ],
)
def test_missing_model_fails_the_job(darkroom: Darkroom, name: str, spec: dict[str, Any], reason: str) -> None:
    # The operator checks base models before admission; only the run can check LoRAs.
    runs = 1 if "modelId" in spec else 0
    failure = _failure(darkroom, name, "GenerateJob", runs, **spec)
    assert failure["reason"] == reason
    assert (spec.get("modelId") or spec["baseModel"]) in failure["message"]


def test_forbidden_dataset_fails_the_training_before_admission(darkroom: Darkroom, store_photos: Store) -> None:
    """Another namespace in the same bucket, also through `..`."""
    photos = store_photos("../lab", {})
    for name, uri in (("other", "s3://darkroom/datasets/lab/photos/"), ("detour", photos)):
        failure = _failure(darkroom, name, "TrainJob", 0, **_training(uri))
        assert failure["reason"] == "DatasetNotAllowed"


def test_contradictory_guidance_scales_are_refused_by_kubectl(darkroom: Darkroom) -> None:
    document = {
        "apiVersion": "darkroom.dev/v1alpha1",
        "kind": "GenerateJob",
        "metadata": {"name": "torn"},
        "spec": {
            "prompt": "a red circle",
            "allowMotion": True,
            "video": {"minGuidanceScale": 3, "maxGuidanceScale": 1},
        },
    }
    output = darkroom.kubectl("apply", "-f", "-", stdin=json.dumps(document), check=False)
    assert "turns guidance off for the whole clip" in output


def _training(uri: str) -> dict[str, Any]:
    return {"modelId": "m-bad", "prompt": "sks", "dataset": {"uri": uri}, "maxSteps": 1}


def _failure(darkroom: Darkroom, name: str, kind: str, runs: int = 1, **spec: Any) -> dict[str, str]:
    darkroom.apply(kind, name, **spec)
    job = darkroom.wait_for_phase(name, "Failed")
    assert job["attempts"] == runs
    failure: dict[str, str] = job["failure"]
    return failure
