"""A body beyond the limit gets a 413, whether its size is announced or not."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

LIMIT_BYTES = 200_000


@pytest.fixture(scope="module")
def http(start_gateway: Any, environment: dict[str, str]) -> Iterator[httpx.Client]:
    """A gateway with a low body limit."""
    with start_gateway({**environment, "DARKROOM_GATEWAY_MAX_UPLOAD_BYTES": str(LIMIT_BYTES)}) as started:
        yield started.http


def send(http: httpx.Client, body: bytes | Iterator[bytes]) -> httpx.Response:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    return http.post("/train", params={"prompt": "a", "model_id": "dog"}, content=body, headers=headers)


def form(size_bytes: int) -> Iterator[bytes]:
    yield b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
    for _ in range(size_bytes // 1000):
        yield b"x" * 1000
    yield b"\r\n--b--\r\n"


def test_announced_size_beyond_the_limit_is_refused(http: httpx.Client) -> None:
    response = send(http, b"".join(form(10 * LIMIT_BYTES)))

    assert response.status_code == 413
    assert response.json()["type"].endswith(":TooLarge")


def test_chunked_body_beyond_the_limit_is_refused(http: httpx.Client) -> None:
    assert send(http, form(10 * LIMIT_BYTES)).status_code == 413


def test_body_within_the_limit_is_read(http: httpx.Client) -> None:
    assert send(http, form(LIMIT_BYTES // 2)).status_code == 422
