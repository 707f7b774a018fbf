"""`POST /generate/sdxl` and `/generate/lora` create one GenerateJob; a LoRA must exist or be in training."""

import json
from typing import Any

import httpx
import pytest

from darkroom_contract.names import Kind
from darkroom_contract.storage.keys import model_record_key
from darkroom_gateway.jobs.submission import COMPONENT

DATASET = {"uri": "s3://darkroom/datasets/default/x/"}


@pytest.fixture
def trained_model(bucket: Any, job_name: str) -> str:
    """A trained model."""
    record = {
        "modelId": job_name,
        "weightsKey": "runs/u/pytorch_lora_weights.safetensors",
        "sha256": "0" * 64,
        "baseModel": "tiny",
        "prompt": "a photo of sks dog",
        "jobUid": "u",
        "created": "2026-01-02T03:04:05Z",
    }
    key = model_record_key("default", job_name)
    bucket.put_object(Bucket="darkroom", Key=key, Body=json.dumps(record).encode())
    return job_name


def training(cluster: Any, name: str, phase: str | None = None) -> str:
    """A training created with kubectl, whose model id is its name."""
    cluster.create(Kind.TRAIN, name, {"modelId": name, "prompt": "a", "dataset": DATASET})
    if phase is not None:
        cluster.set_status(Kind.TRAIN, name, phase=phase)
    return name


def lora(http: httpx.Client, model_id: str, **parameters: Any) -> httpx.Response:
    return http.post("/generate/lora", params={"prompt": "sks dog on the moon", "model_id": model_id, **parameters})


def test_pictures_with_the_base_model(http: httpx.Client, cluster: Any) -> None:
    response = http.post("/generate/sdxl", params={"prompt": "a dog", "allow_motion": "true"})

    assert response.status_code == 202, response.text
    answer = response.json()
    assert answer["task_id"].startswith("generate-")
    assert response.headers["location"] == f"/images?task_id={answer['task_id']}"
    assert answer["model_id"] is None
    job = cluster.get(Kind.GENERATE, answer["task_id"])
    assert job["spec"]["allowMotion"] is True
    assert job["metadata"]["labels"]["app.kubernetes.io/managed-by"] == COMPONENT


def test_every_parameter_reaches_the_spec(http: httpx.Client, cluster: Any) -> None:
    images = {"count": 2, "width": 128, "height": 64, "steps": 7, "guidance_scale": 3.5, "seed": 9}
    cache = {"cache_interval": 4, "cache_branch": 1}
    video = {
        "allow_motion": True,
        "frames": 6,
        "fps": 8,
        "video_steps": 5,
        "motion_bucket_id": 100,
        "video_base_model": "tiny-svd",
    }
    parameters: dict[str, Any] = {"prompt": "a dog", "negative_prompt": "a cat", **images, **cache, **video}
    query = httpx.QueryParams(parameters)
    response = http.post(f"/generate/sdxl?scheduler=DPM++&{query}")

    spec = cluster.get(Kind.GENERATE, response.json()["task_id"])["spec"]
    assert spec["negativePrompt"] == "a cat"
    assert spec["images"].items() >= {"count": 2, "steps": 7, "guidanceScale": 3.5, "scheduler": "DPM++"}.items()
    assert spec["cache"].items() >= {"interval": 4, "branch": 1}.items()
    assert spec["video"].items() >= {"frames": 6, "steps": 5, "motionBucketId": 100, "baseModel": "tiny-svd"}.items()


def test_pictures_with_a_trained_model(http: httpx.Client, cluster: Any, trained_model: str) -> None:
    response = lora(http, trained_model, lora_scale=0.5)

    assert response.status_code == 202, response.text
    spec = cluster.get(Kind.GENERATE, response.json()["task_id"])["spec"]
    assert (spec["modelId"], spec["loraScale"]) == (trained_model, 0.5)


def test_trained_models_are_listed(http: httpx.Client, trained_model: str) -> None:
    models = {each["model_id"]: each for each in http.get("/models").json()["models"]}

    assert models[trained_model]["prompt"] == "a photo of sks dog"


@pytest.mark.parametrize("phase", [None, "Queued", "Running"])
def test_model_in_training_is_accepted(http: httpx.Client, cluster: Any, job_name: str, phase: str | None) -> None:
    assert lora(http, training(cluster, job_name, phase)).status_code == 202


def test_model_of_a_failed_training_is_unknown(http: httpx.Client, cluster: Any, job_name: str) -> None:
    assert lora(http, training(cluster, job_name, "Failed")).status_code == 404


def test_unknown_model_error_lists_the_known_ones(http: httpx.Client, bucket: Any, job_name: str) -> None:
    """At most 20, by name: the models of other tests come after this one."""
    name = f"0-{job_name}"
    bucket.put_object(Bucket="darkroom", Key=model_record_key("default", name), Body=b"{}")

    response = lora(http, "nobody-made-this")

    assert response.status_code == 404
    assert name in response.json()["detail"]


def test_idempotency_key_of_a_job_in_deletion_is_refused(http: httpx.Client, cluster: Any, job_name: str) -> None:
    """The task would never run."""
    headers = {"Idempotency-Key": job_name}
    task = http.post("/generate/sdxl", params={"prompt": "a dog"}, headers=headers).json()["task_id"]
    cluster.set_finalizers(Kind.GENERATE, task, ["x.dev/keep"])
    cluster.delete(Kind.GENERATE, task)

    refused = http.post("/generate/sdxl", params={"prompt": "a dog"}, headers=headers)
    cluster.set_finalizers(Kind.GENERATE, task, [])
    taken = http.post("/generate/sdxl", params={"prompt": "a dog"}, headers=headers)

    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (422, "KeyReused")
    assert "being deleted" in refused.json()["detail"]
    assert (taken.status_code, taken.json()["task_id"]) == (202, task)


def test_repeated_request_creates_one_job(http: httpx.Client, cluster: Any, job_name: str) -> None:
    headers = {"Idempotency-Key": job_name}
    first = http.post("/generate/sdxl", params={"prompt": "a dog"}, headers=headers)
    jobs = cluster.count(Kind.GENERATE)

    assert http.post("/generate/sdxl", params={"prompt": "a dog"}, headers=headers).json() == first.json()
    assert cluster.count(Kind.GENERATE) == jobs
