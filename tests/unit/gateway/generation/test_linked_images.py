"""`POST /generate/sdxl` with links to pictures: downloaded once, checked and stored by the gateway."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from support.serving import content, serving

from darkroom_contract.names import Kind


@pytest.fixture(scope="module")
def any_link(start_gateway: Any, environment: dict[str, str]) -> Iterator[httpx.Client]:
    """A gateway that follows links to private addresses."""
    with start_gateway({**environment, "DARKROOM_GATEWAY_IMAGE_LINKS": "Any"}) as gateway:
        yield gateway.http


def test_linked_picture_is_stored_and_downloaded_once(
    any_link: httpx.Client, cluster: Any, bucket: Any, picture: Callable[..., bytes], job_name: str
) -> None:
    body, requests = picture(), list[str]()
    with serving(content(body), requests) as url:
        query = {"prompt": "a dog", "image_url": f"{url}/dog?size=1"}
        first = any_link.post("/generate/sdxl", params=query, headers={"Idempotency-Key": job_name})
        again = any_link.post("/generate/sdxl", params=query, headers={"Idempotency-Key": job_name})
        other = any_link.post(
            "/generate/sdxl",
            params=query | {"image_url": f"{url}/cat"},
            headers={"Idempotency-Key": job_name},
        )

    assert first.status_code == 202, first.text
    assert again.json() == first.json()
    assert "other pictures" in other.json()["detail"]
    assert requests == ["/dog?size=1"]
    uri = cluster.get(Kind.GENERATE, first.json()["task_id"])["spec"]["startImage"]["uri"]
    assert uri.endswith("/image.jpg")
    key = uri.removeprefix("s3://darkroom/")
    assert bucket.get_object(Bucket="darkroom", Key=key)["Body"].read() == body


def test_linked_page_is_refused(any_link: httpx.Client) -> None:
    with serving(content(b"<html>", Content_Type="image/png"), []) as url:
        response = any_link.post("/generate/sdxl", params={"prompt": "a", "image_url": url})

    assert response.status_code == 422
    [error] = response.json()["errors"]
    assert error["parameter"] == "image_url"
    assert "is no JPEG, PNG" in error["message"]


def test_private_link_is_refused_by_default(http: httpx.Client, bucket: Any) -> None:
    """Such as the cluster's object storage."""
    requests = list[str]()
    with serving(content(b"secret"), requests) as url:
        response = http.post("/generate/sdxl", params={"prompt": "a", "image_url": url})

    assert response.status_code == 422
    assert "not public" in response.json()["errors"][0]["message"]
    assert requests == []


@pytest.mark.parametrize("url", ["ftp://x.example/a", "http://user:secret@x.example/a", "x.example/a", "http://"])
def test_text_that_is_no_link_is_refused(http: httpx.Client, url: str) -> None:
    response = http.post("/generate/sdxl", params={"prompt": "a", "video_image_url": url, "allow_motion": True})

    assert response.status_code == 422
    assert "begins with http://" in response.json()["errors"][0]["message"]
