"""`V1Job`: one schema for both kinds, with all keys."""

import json
from dataclasses import replace
from typing import Any

import pytest
from support.job_documents import job_document

from darkroom_contract.jobs import read_job
from darkroom_contract.names import Kind
from darkroom_gateway.settings import Settings
from darkroom_gateway.storage.client import ObjectStorage
from darkroom_gateway.v1.schemas import V1Job
from darkroom_gateway.v1.serializers import address_of, v1_job

NOW = "2026-01-02T03:04:05Z"


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> ObjectStorage:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    return ObjectStorage(Settings())


def answer(document: dict[str, Any], storage: ObjectStorage) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(v1_job(read_job(document), storage, "/darkroom").model_dump_json())
    return body


def test_new_job_has_all_keys(storage: ObjectStorage) -> None:
    body = answer(job_document(1), storage)

    assert body.keys() == V1Job.model_fields.keys()
    assert (body["id"], body["status"], body["spec"]) == ("job-1", "Queued", {"prompt": "a dog"})
    assert (body["queue"], body["error"], body["artifacts"]) == (None, None, [])


def test_files_have_their_role_seed_and_link(storage: ObjectStorage) -> None:
    names = ["job-1-grid.webp", "job-1-seed-7.webp", "job-1.mp4", "manifest.json"]
    types = ["image/webp", "image/webp", "video/mp4", "application/json"]
    artifacts = [
        {"key": f"runs/uid-1/{name}", "contentType": type_, "bytes": 3, "sha256": "0" * 64}
        for name, type_ in zip(names, types, strict=True)
    ]

    body = answer(job_document(1, phase="Succeeded", artifacts=artifacts), storage)

    assert [(each["role"], each["seed"]) for each in body["artifacts"]] == [
        ("grid", None),
        ("image", 7),
        ("video", None),
    ]
    assert [each["uri"] for each in body["artifacts"]] == [f"s3://darkroom/runs/uid-1/{name}" for name in names[:3]]
    assert all("X-Amz-Signature=" in each["url"] and each["expires"] for each in body["artifacts"])


def test_finished_pictures_of_a_running_job_have_the_shape_of_its_files(storage: ObjectStorage) -> None:
    image = {"seed": 7, "bytes": 3, "sha256": "0" * 64}
    progress = {"stage": "Denoising", "step": 30, "lastUpdatedTime": NOW, "finishedImages": [image]}
    artifact = {"key": "runs/uid-1/job-1-seed-7.png", "contentType": "image/png", "bytes": 3, "sha256": "0" * 64}
    running = job_document(1, phase="Running", progress=progress)
    running["spec"]["images"] = {"count": 2, "seed": 7}

    body, later = answer(running, storage), answer(job_document(1, phase="Succeeded", artifacts=[artifact]), storage)

    [early], [final] = body["artifacts"], later["artifacts"]
    assert early.pop("url").partition("?")[0] == final.pop("url").partition("?")[0]
    assert {**early, "expires": None} == {**final, "expires": None}
    assert (early["name"], early["role"], early["seed"]) == ("job-1-seed-7.png", "image", 7)
    assert "finished_images" not in body["progress"]


def test_files_of_a_training_have_their_role(storage: ObjectStorage) -> None:
    document = job_document(1)
    document["kind"] = "TrainJob"
    document["spec"] |= {"modelId": "dog", "dataset": {"uri": "s3://darkroom/datasets/default/x/"}}
    files = {
        "pytorch_lora_weights.safetensors": "application/octet-stream",
        "dog.safetensors": "application/octet-stream",
        "job-1-validation-2.png": "image/png",
        "job-1-samples.png": "image/png",
    }
    artifacts = [
        {"key": f"runs/uid-1/{name}", "contentType": type_, "bytes": 3, "sha256": "0" * 64}
        for name, type_ in files.items()
    ]
    document["status"] = {"phase": "Succeeded", "artifacts": artifacts}

    body = answer(document, storage)

    assert [each["role"] for each in body["artifacts"]] == ["lora", "lora", "sample", "sample_sheet"]


@pytest.mark.parametrize(("reason", "advised"), [("DatasetInvalid", True), ("OfALaterRelease", False)])
def test_failed_job_has_reason_and_advice(storage: ObjectStorage, reason: str, advised: bool) -> None:
    condition = {
        "type": "Failed",
        "status": "True",
        "reason": reason,
        "message": "1.jpg is damaged.",
        "lastTransitionTime": NOW,
    }

    error = answer(job_document(1, phase="Failed", conditions=[condition]), storage)["error"]

    assert (error["reason"], error["message"]) == (reason, "1.jpg is damaged.")
    assert (error["advice"] is not None) is advised


def test_addresses_name_the_kind_only_of_names_that_are_not_the_gateways() -> None:
    assert address_of(Kind.TRAIN, "train-k3x7q2m7ab", "/darkroom", "/retry") == (
        "/darkroom/v1/jobs/train-k3x7q2m7ab/retry"
    )
    assert address_of(Kind.GENERATE, "train-k3x7q2m7ab", "") == "/v1/jobs/train-k3x7q2m7ab?kind=GenerateJob"
    assert address_of(Kind.TRAIN, "nightly", "") == "/v1/jobs/nightly?kind=TrainJob"


def test_job_that_is_being_deleted_says_so(storage: ObjectStorage) -> None:
    job = replace(read_job(job_document(1)), deleting=True)

    assert v1_job(job, storage, "").deleting
