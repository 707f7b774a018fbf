"""Trainings on photos that are in object storage already, with own class pictures, and from an existing LoRA."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from support.gateway_cluster import NAMESPACE
from support.s3_server import BUCKET

from darkroom_contract.names import Kind
from darkroom_contract.storage.keys import ModelRecord, model_step_key
from darkroom_gateway.jobs.task_ids import task_id_for

Draw = Callable[..., bytes]


@pytest.fixture
def dataset(bucket: Any, job_name: str) -> str:
    """The URI of a folder with two photos, a caption and a mask."""
    prefix = f"datasets/{NAMESPACE}/{job_name}/"
    for name in ("a.jpg", "a.txt", "a.mask.png", "b.HEIC", "notes.md", "below/c.jpg"):
        bucket.put_object(Bucket=BUCKET, Key=prefix + name, Body=b"x")
    return f"s3://{BUCKET}/{prefix}"


def train(http: httpx.Client, key: str | None = None, **parameters: Any) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return http.post("/train", params={"prompt": "sks dog", "model_id": "dog", **parameters}, headers=headers)


def refused(response: httpx.Response) -> dict[str, str]:
    assert response.status_code == 422, response.text
    assert response.json()["type"].endswith(":InvalidRequest")
    return {each["parameter"]: each["message"] for each in response.json()["errors"]}


def test_training_uses_photos_in_object_storage(
    http: httpx.Client, cluster: Any, stored_keys: Any, dataset: str
) -> None:
    before = stored_keys("datasets/")

    response = train(http, dataset_uri=dataset)

    assert response.status_code == 202, response.text
    document = cluster.get(Kind.TRAIN, response.json()["task_id"])
    assert document["spec"]["dataset"] == {"uri": dataset}
    assert "darkroom.dev/photos-sha256" not in (document["metadata"].get("annotations") or {})
    assert stored_keys("datasets/") == before


def test_photos_beside_a_dataset_are_refused(http: httpx.Client, dataset: str, picture: Draw) -> None:
    query = {"prompt": "sks dog", "model_id": "dog", "dataset_uri": dataset}

    response = http.post("/train", params=query, files={"files": ("a.jpg", picture())})

    assert "Remove the body" in refused(response)["dataset_uri"]


def test_training_without_photos_and_dataset_is_refused(http: httpx.Client) -> None:
    assert train(http).status_code == 422


@pytest.mark.parametrize("parameter", ["dataset_uri", "class_dataset_uri"])
def test_unusable_dataset_is_refused(http: httpx.Client, dataset: str, parameter: str) -> None:
    others = {"class_prompt": "a dog", "dataset_uri": dataset}
    for uri, words in (
        (f"s3://{BUCKET}/datasets/{NAMESPACE}/nothing-here/", "no photos in"),
        (f"s3://{BUCKET}/datasets/{NAMESPACE}/../other/", "none may be '.' or '..'"),
        (f"s3://{BUCKET}/datasets/another-namespace/x/", "outside of the folders"),
        ("s3://another-bucket/datasets/x/", "outside of the folders"),
    ):
        assert words in refused(train(http, **{**others, parameter: uri}))[parameter]


def test_own_pictures_of_the_class_reach_the_spec(http: httpx.Client, cluster: Any, dataset: str) -> None:
    response = train(http, dataset_uri=dataset, class_prompt="a photo of a dog", class_dataset_uri=dataset)

    assert response.status_code == 202, response.text
    training = cluster.get(Kind.TRAIN, response.json()["task_id"])["spec"]["training"]
    assert training["priorPreservation"]["dataset"] == {"uri": dataset}


def test_held_out_photos_are_fewer_than_the_photos_of_the_dataset(http: httpx.Client, dataset: str) -> None:
    assert "of 2 photos none is left" in refused(train(http, dataset_uri=dataset, held_out_photos=2))["held_out_photos"]
    assert train(http, dataset_uri=dataset, held_out_photos=1).status_code == 202


def test_key_belongs_to_one_dataset(
    http: httpx.Client, cluster: Any, dataset: str, job_name: str, picture: Draw
) -> None:
    first = train(http, job_name, dataset_uri=dataset)
    jobs = cluster.count(Kind.TRAIN)

    assert train(http, job_name, dataset_uri=dataset.rstrip("/")).json() == first.json()

    other = train(http, job_name, dataset_uri=f"s3://{BUCKET}/datasets/{NAMESPACE}/another/")
    uploaded = http.post(
        "/train",
        params={"prompt": "sks dog", "model_id": "dog"},
        files={"files": ("a.jpg", picture())},
        headers={"Idempotency-Key": job_name},
    )
    for response in (other, uploaded):
        assert response.status_code == 422
        assert response.json()["type"].endswith(":KeyReused")
    assert cluster.count(Kind.TRAIN) == jobs


def test_key_is_recognised_after_an_upgrade(http: httpx.Client, cluster: Any, dataset: str, job_name: str) -> None:
    """The CRD of earlier releases filled in a learning rate, which now is unset."""
    task = task_id_for(Kind.TRAIN, job_name)
    spec = {"prompt": "sks dog", "modelId": "dog", "dataset": {"uri": dataset}}
    cluster.create(Kind.TRAIN, task, spec | {"training": {"learningRate": 0.0001}})

    assert train(http, job_name, dataset_uri=dataset).json()["task_id"] == task
    other = train(http, job_name, dataset_uri=dataset, learning_rate=0.0002)
    assert other.json()["type"].endswith(":KeyReused")


def test_key_of_an_upload_is_not_that_of_a_dataset(
    http: httpx.Client, dataset: str, job_name: str, picture: Draw
) -> None:
    query, files = {"prompt": "sks dog", "model_id": "dog"}, {"files": ("a.jpg", picture())}
    assert http.post("/train", params=query, files=files, headers={"Idempotency-Key": job_name}).status_code == 202

    assert "other photos" in train(http, job_name, dataset_uri=dataset).json()["detail"]


def test_training_continues_from_a_saved_step(
    http: httpx.Client, cluster: Any, bucket: Any, dataset: str, job_name: str
) -> None:
    key = f"runs/{job_name}/steps/200/pytorch_lora_weights.safetensors"
    record = {
        "model_id": job_name,
        "weights_key": key,
        "sha256": "0" * 64,
        "base_model": "owner/name",
        "created": "2026-01-02T03:04:05Z",
        "step": 200,
    }
    body = ModelRecord.model_validate(record).model_dump_json(by_alias=True).encode()
    bucket.put_object(Bucket=BUCKET, Key=model_step_key(NAMESPACE, job_name, "200"), Body=body)

    response = train(http, dataset_uri=dataset, initial_lora=f"{job_name}@200")

    assert response.status_code == 202, response.text
    training = cluster.get(Kind.TRAIN, response.json()["task_id"])["spec"]["training"]
    assert training["initialLora"] == {"modelId": f"{job_name}@200"}


def test_training_continues_from_a_file(
    http: httpx.Client, cluster: Any, bucket: Any, dataset: str, job_name: str
) -> None:
    key = f"loras/{NAMESPACE}/{job_name}.safetensors"
    bucket.put_object(Bucket=BUCKET, Key=key, Body=b"x")

    response = train(http, dataset_uri=dataset, initial_lora=f"s3://{BUCKET}/{key}")

    assert response.status_code == 202, response.text
    training = cluster.get(Kind.TRAIN, response.json()["task_id"])["spec"]["training"]
    assert training["initialLora"] == {"uri": f"s3://{BUCKET}/{key}"}


def test_unknown_initial_lora_is_refused(http: httpx.Client, dataset: str) -> None:
    response = train(http, dataset_uri=dataset, initial_lora="nobody-trained-this")
    assert response.status_code == 404
    assert response.json()["type"].endswith(":UnknownModel")
    assert [each["parameter"] for each in response.json()["errors"]] == ["initial_lora"]

    for uri, words in (
        (f"s3://{BUCKET}/loras/{NAMESPACE}/nothing-here.safetensors", "There is no LoRA file"),
        (f"s3://{BUCKET}/loras/another-namespace/a.safetensors", "outside of the folders"),
    ):
        assert words in refused(train(http, dataset_uri=dataset, initial_lora=uri))["initial_lora"]
