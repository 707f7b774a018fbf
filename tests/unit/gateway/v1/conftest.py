"""Fixtures and requests of `/v1`."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from darkroom_contract.names import Kind

Submit = Callable[..., httpx.Response]
DATASET = {"uri": "s3://darkroom/datasets/default/v1-stored/"}


@pytest.fixture(scope="package")
def stored_dataset(bucket: Any, picture: Callable[..., bytes]) -> dict[str, str]:
    """A dataset of two photos in object storage."""
    for name in ("a.jpg", "b.jpg"):
        bucket.put_object(Bucket="darkroom", Key=f"datasets/default/v1-stored/{name}", Body=picture())
    return DATASET


@pytest.fixture(scope="package")
def train(http: httpx.Client) -> Submit:
    """Submits a training: photos make it a form."""

    def submit(photos: dict[str, bytes] | None = None, key: str | None = None, **fields: Any) -> httpx.Response:
        spec = {"modelId": "dog", "prompt": "sks dog", **fields}
        return _submit(http, "/v1/train-jobs", spec, [("files", each) for each in (photos or {}).items()], key)

    return submit


@pytest.fixture(scope="package")
def generate(http: httpx.Client) -> Submit:
    """Submits a generation: pictures make it a form."""

    def submit(pictures: dict[str, bytes] | None = None, key: str | None = None, **fields: Any) -> httpx.Response:
        parts = [(name, (f"{name}.png", content)) for name, content in (pictures or {}).items()]
        return _submit(http, "/v1/generate-jobs", {"prompt": "a dog", **fields}, parts, key)

    return submit


def _submit(http: httpx.Client, path: str, spec: dict[str, Any], parts: list[Any], key: str | None) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    if not parts:
        return http.post(path, json=spec, headers=headers)
    return http.post(path, files=[("spec", (None, json.dumps(spec), "application/json")), *parts], headers=headers)


@pytest.fixture(scope="package")
def accepted(cluster: Any) -> Callable[..., dict[str, Any]]:
    """The spec in the cluster of an accepted submission."""

    def spec_of(response: httpx.Response) -> dict[str, Any]:
        assert response.status_code == 202, response.text
        job = response.json()
        assert response.headers["location"] == job["urls"]["get"] == f"/v1/jobs/{job['id']}"
        spec: dict[str, Any] = cluster.get(Kind(job["kind"]), job["id"])["spec"]
        return spec

    return spec_of


@pytest.fixture(scope="package")
def refused() -> Callable[..., dict[str, str]]:
    """The messages of a refused request by field."""

    def faults_of(response: httpx.Response, status: int = 422) -> dict[str, str]:
        assert response.status_code == status, response.text
        return {each["parameter"]: each["message"] for each in response.json()["errors"]}

    return faults_of
