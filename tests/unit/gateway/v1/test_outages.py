"""`/v1` without the cluster or object storage."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

Draw = Callable[..., bytes]


@pytest.fixture(scope="module")
def without_cluster(
    start_gateway: Any, environment: dict[str, str], kubeconfig_of_nowhere: Any
) -> Iterator[httpx.Client]:
    with start_gateway({**environment, "KUBECONFIG": str(kubeconfig_of_nowhere)}) as started:
        yield started.http


def is_outage(response: httpx.Response) -> bool:
    assert response.status_code == 503, response.text
    assert int(response.headers["retry-after"]) > 0
    return str(response.json()["type"]).endswith(":ClusterUnavailable")


def test_requests_without_a_cluster_get_503(without_cluster: httpx.Client) -> None:
    job = "/v1/jobs/train-k3x7q2m7ab"

    for method, path in (("GET", "/v1/jobs"), ("GET", job), ("DELETE", job), ("GET", f"{job}/files")):
        assert is_outage(without_cluster.request(method, path))
    for action in ("suspend", "resume", "cancel", "retry"):
        assert is_outage(without_cluster.post(f"{job}/{action}"))
    assert is_outage(without_cluster.patch(job, json={"priority": 1}))
    assert is_outage(without_cluster.post("/v1/generate-jobs", json={"prompt": "a"}, headers={"Prefer": "wait=9"}))


def test_training_without_a_cluster_leaves_no_photo(
    without_cluster: httpx.Client, stored_keys: Any, picture: Draw
) -> None:
    photos = stored_keys("datasets/")
    spec = ("spec", (None, '{"modelId": "dog", "prompt": "a"}'))

    response = without_cluster.post("/v1/train-jobs", files=[spec, ("files", ("a.jpg", picture()))])

    assert is_outage(response)
    assert stored_keys("datasets/") == photos


def test_uploads_need_no_cluster_and_bad_specs_neither(without_cluster: httpx.Client) -> None:
    upload = without_cluster.post("/v1/uploads", json={"files": [{"name": "a.jpg", "bytes": 10}]})

    assert upload.status_code == 201
    assert without_cluster.post("/v1/generate-jobs", json={"promt": "a"}).status_code == 422


def test_photos_can_not_be_looked_up_without_storage(
    start_gateway: Any, environment: dict[str, str], nowhere: str
) -> None:
    dataset = {"uri": "s3://darkroom/datasets/default/x/"}
    with start_gateway({**environment, "DARKROOM_S3_ENDPOINT_URL": nowhere}) as started:
        spec = {"modelId": "dog", "prompt": "a", "dataset": dataset}
        responses = [
            started.http.post("/v1/train-jobs", json=spec),
            started.http.post("/v1/uploads", json={"files": [{"name": "a.jpg", "bytes": 10}]}),
        ]

    assert {each.json()["type"] for each in responses} == {"tag:darkroom.dev,2026:StorageUnavailable"}
