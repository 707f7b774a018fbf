"""The `images` and `grid` of GET /images, for every file format."""

from typing import Any

import httpx
import pytest

from darkroom_contract.names import Kind
from darkroom_contract.storage.keys import run_prefix

TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp", ".avif": "image/avif"}


def answer(http: httpx.Client, cluster: Any, name: str, files: list[str], content_type: str) -> dict[str, Any]:
    """Of a finished generation with these files."""
    uid = cluster.create(Kind.GENERATE, name, {"prompt": "a cat"})["metadata"]["uid"]
    artifacts = [
        {"key": run_prefix(uid) + file, "contentType": content_type, "bytes": 1, "sha256": "0" * 64} for file in files
    ]
    cluster.set_status(Kind.GENERATE, name, phase="Succeeded", artifacts=artifacts)
    response = http.get("/images", params={"task_id": name})
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


@pytest.mark.parametrize("suffix", TYPES)
def test_grid_is_not_one_of_the_images(suffix: str, http: httpx.Client, cluster: Any, job_name: str) -> None:
    images = [f"{job_name}-seed-0{suffix}", f"{job_name}-seed-1{suffix}"]

    found = answer(http, cluster, job_name, [f"{job_name}-grid{suffix}", *images], TYPES[suffix])

    assert found["grid"]["name"] == f"{job_name}-grid{suffix}"
    assert [each["name"] for each in found["images"]] == images
    assert {each["content_type"] for each in found["files"]} == {TYPES[suffix]}


def test_images_of_a_task_named_grid_are_no_grid(http: httpx.Client, cluster: Any, job_name: str) -> None:
    name = f"{job_name}-grid"

    found = answer(http, cluster, name, [f"{name}-seed-0.png"], "image/png")

    assert "grid" not in found
    assert [each["name"] for each in found["images"]] == [f"{name}-seed-0.png"]
