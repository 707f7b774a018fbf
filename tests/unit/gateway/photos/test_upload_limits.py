"""An upload does not affect others: decoders, disk and limits are shared fairly."""

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from support import processes
from support.photos import encode
from support.waiting import waiter

Draw = Callable[..., bytes]

wait_until = waiter(30)
QUERY = {"prompt": "a photo of sks dog", "model_id": "dog"}
SETTINGS = {
    "DARKROOM_GATEWAY_PHOTO_MEMORY_MIB": "64",
    "DARKROOM_GATEWAY_MAX_UPLOADS": "2",
    "DARKROOM_GATEWAY_LOG_LEVEL": "DEBUG",
}


@pytest.fixture
def gateway(start_gateway: Any, environment: dict[str, str]) -> Iterator[Any]:
    """A gateway with two decoders with little memory, and a limit of two uploads. New, so that it has children."""
    with start_gateway({**environment, **SETTINGS}, Path(sys.executable)) as started:
        yield started


@pytest.fixture
def wide() -> bytes:
    """An ordinary photo that takes 72 MB to decode."""
    return encode(Image.new("RGB", (4500, 4000), "olive"), "PNG")


def train(http: httpx.Client, *photos: bytes) -> httpx.Response:
    files = [("files", (f"{number}.jpg", photo)) for number, photo in enumerate(photos)]
    return http.post("/train", params=QUERY, files=files)


def decoders(gateway: Any) -> list[int]:
    return processes.children(gateway.process.pid)


def decoding(gateway: Any, decoder: int) -> int:
    """Photos that a decoder received."""
    return sum(line.endswith(f"in process {decoder}") for line in gateway.log().splitlines())


class Upload:
    """A client that sends photos, possibly incompletely, and does not wait for the response."""

    def __init__(self, http: httpx.Client, *photos: bytes, ends: bool) -> None:
        parts = [b'--b\r\nContent-Disposition: form-data; name="f"; filename="a.jpg"\r\n\r\n' + each for each in photos]
        body = b"\r\n".join(parts) + (b"\r\n--b--\r\n" if ends else b"")
        length = len(body) + (0 if ends else 1000)
        head = (
            f"POST /train?{httpx.QueryParams(QUERY)} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\nExpect: 100-continue\r\n\r\n"
        )
        self.socket = socket.create_connection((http.base_url.host, http.base_url.port or 80), timeout=30)
        self.socket.sendall(head.encode())
        assert self.socket.recv(1000).startswith(b"HTTP/1.1 100 ")  # From now on the gateway reads the form.
        self.socket.sendall(body)

    def leave(self) -> None:
        self.socket.close()


def test_photo_beyond_the_memory_limit_is_refused(gateway: Any, picture: Draw, wide: bytes) -> None:
    response = train(gateway.http, wide, picture(), b"text")

    assert response.status_code == 422, response.text
    assert response.json()["type"].endswith(":InvalidPhotos")
    errors = {each["parameter"]: each["message"] for each in response.json()["errors"]}
    assert errors.keys() == {"0.jpg", "2.jpg"}
    assert "64 MiB" in errors["0.jpg"]
    assert "Save it smaller, or as a JPEG." in errors["0.jpg"]
    assert train(gateway.http, picture()).status_code == 202


def test_slow_photo_does_not_delay_other_uploads(gateway: Any, picture: Draw) -> None:
    assert train(gateway.http, picture()).status_code == 202
    [slow] = decoders(gateway)
    os.kill(slow, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(train, gateway.http, picture(), picture())
        wait_until(lambda: decoding(gateway, slow) == 2, "its first photo is being decoded")
        assert gateway.http.get("/healthz").status_code == 200
        assert train(gateway.http, picture(), picture()).status_code == 202
        assert not waiting.done()
        os.kill(slow, signal.SIGCONT)
        assert waiting.result().status_code == 202


def test_client_disconnect_stops_decoding(gateway: Any, picture: Draw) -> None:
    assert train(gateway.http, picture()).status_code == 202
    [slow] = decoders(gateway)
    os.kill(slow, signal.SIGSTOP)

    upload = Upload(gateway.http, picture(), ends=True)
    wait_until(lambda: decoding(gateway, slow) == 2, "the photo is being decoded")
    upload.leave()

    wait_until(lambda: not processes.is_alive(slow), "its decoder has ended")
    wait_until(lambda: "the client disconnected" in gateway.log(), "the log says why")
    assert train(gateway.http, picture()).status_code == 202


def test_decoders_end_with_the_gateway(gateway: Any, picture: Draw) -> None:
    assert train(gateway.http, picture()).status_code == 202
    [decoder] = decoders(gateway)

    gateway.process.terminate()
    gateway.process.wait(30)

    wait_until(lambda: not processes.is_alive(decoder), "the decoder has ended")


def test_uploads_beyond_the_limit_get_a_503_and_can_be_retried(gateway: Any, picture: Draw) -> None:
    halves = [Upload(gateway.http, picture(), ends=False) for _ in range(2)]

    response = train(gateway.http, picture())
    assert response.status_code == 503, response.text
    assert response.json()["type"].endswith(":TooManyUploads")
    assert response.json()["detail"] == "2 uploads are already in progress. Send this one again later."
    assert int(response.headers["retry-after"]) > 0
    assert gateway.http.get("/jobs").status_code == 200

    halves[0].leave()
    wait_until(lambda: train(gateway.http, picture()).status_code == 202, "there is room again")
    halves[1].leave()


def test_full_disk_leaves_nothing_behind(
    start_gateway: Any, environment: dict[str, str], picture: Draw, tmp_path: Path
) -> None:
    """A file size limit simulates a full disk."""
    launcher = tmp_path / "python"
    launcher.write_text(f'#!/bin/sh\nulimit -f 200\nexec "{sys.executable}" "$@"\n')
    launcher.chmod(0o755)
    spool = tmp_path / "spool"
    spool.mkdir()
    with start_gateway({**environment, "TMPDIR": str(spool)}, launcher) as gateway:
        response = train(gateway.http, picture(), picture(1500, 1500, "PNG"))

        assert response.status_code == 503, response.text
        assert response.json()["type"].endswith(":NoUploadSpace")
        assert "temporary folder is full" in response.json()["detail"]
        assert int(response.headers["retry-after"]) > 0
        assert list(spool.iterdir()) == []
        assert train(gateway.http, picture()).status_code == 202
