"""`POST /generate/*` with uploaded start images: repeated with an idempotency key, and refused."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from support.isolated_namespace import IsolatedNamespace

URI = "s3://darkroom/images/default/repeated/dog.png"
Draw = Callable[..., bytes]


def generate(http: httpx.Client, files: dict[str, bytes] | None = None, **query: Any) -> httpx.Response:
    parts = {name: (f"{name}.jpg", content) for name, content in (files or {}).items()}
    headers = {"Idempotency-Key": query.pop("key")} if "key" in query else {}
    return http.post("/generate/sdxl", params={"prompt": "a dog", **query}, files=parts or None, headers=headers)


def uploaded_folders(stored_keys: Any) -> set[str]:
    return {key.rpartition("/")[0] for key in stored_keys("images/default/")}


def test_repeated_upload_returns_the_first_task(
    http: httpx.Client, stored_keys: Any, picture: Draw, job_name: str
) -> None:
    files = {"image": picture(), "mask": picture(format_="PNG")}
    first = generate(http, files, key=job_name)
    folders = uploaded_folders(stored_keys)

    assert generate(http, files, key=job_name).json() == first.json()
    assert uploaded_folders(stored_keys) == folders


def test_key_with_other_pictures_is_refused(http: httpx.Client, bucket: Any, picture: Draw, job_name: str) -> None:
    files = {"image": picture()}
    bucket.put_object(Bucket="darkroom", Key=URI.removeprefix("s3://darkroom/"), Body=picture(format_="PNG"))
    assert generate(http, files, key=job_name).status_code == 202

    for other in ({"files": {"image": picture()}}, {"image_uri": URI}):
        response = generate(http, key=job_name, **other)
        assert response.json()["type"].rpartition(":")[2] == "KeyReused", response.text
        assert "other pictures" in response.json()["detail"]
    assert "other parameters" in generate(http, key=job_name).json()["detail"]
    assert "other parameters" in generate(http, files, key=job_name, strength=0.9).json()["detail"]


def test_nothing_is_stored_for_a_refused_request(http: httpx.Client, stored_keys: Any, picture: Draw) -> None:
    before = uploaded_folders(stored_keys)

    assert generate(http, {"image": picture()}, base_model="no/such/model").status_code == 422

    assert uploaded_folders(stored_keys) == before


@pytest.mark.parametrize("repeatable", [False, True], ids=["new job", "with an idempotency key"])
def test_pictures_of_a_job_that_the_cluster_refuses_are_removed(
    isolated: IsolatedNamespace,
    start_gateway: Any,
    environment: dict[str, str],
    picture: Draw,
    job_name: str,
    repeatable: bool,
) -> None:
    """With a quota on jobs: the pictures are stored before the API server refuses the job."""
    quota = {"metadata": {"name": "jobs"}, "spec": {"hard": {"count/generatejobs.darkroom.dev": "0"}}}
    path = f"/api/v1/namespaces/{isolated.namespace}/resourcequotas"
    assert isolated.api.http.post(path, json=quota).status_code == 201
    key = {"key": job_name} if repeatable else {}

    with start_gateway({**environment, "DARKROOM_NAMESPACE": isolated.namespace}) as gateway:
        response = generate(gateway.http, {"image": picture(), "mask": picture(format_="PNG")}, **key)

    assert response.status_code == 403, response.text
    assert "exceeded quota" in response.json()["detail"]
    assert isolated.keys(f"images/{isolated.namespace}/") == []
    assert "kept" not in gateway.log()
