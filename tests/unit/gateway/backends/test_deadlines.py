"""Hanging backends: every response arrives within its documented deadline, and other requests are unaffected.

The deadlines are the real ones, so each test sends all requests concurrently.
"""

import ast
import re
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.holding_proxy import HoldingProxy
from support.markdown import REPOSITORY, read
from support.silent_server import SilentServer
from support.waiting import waiter

import darkroom_gateway
from darkroom_contract.names import Kind
from darkroom_gateway.backends import deadlines
from darkroom_gateway.backends.calls import CLUSTER_CALLS, STORAGE_CALLS, UPLOAD_CALLS
from darkroom_gateway.settings import Settings
from darkroom_gateway.storage.client import ObjectStorage
from darkroom_local.kube.kubeconfig import write_kubeconfig
from darkroom_local.processes.ports import free_ports

Draw = Callable[..., bytes]

HANGING = 50
"""More than the concurrency limit of any backend, and more than anyio's 40 threads."""
SLACK_SECONDS = 3.0
"""Tolerance for a busy machine."""
SOON_SECONDS = 3.0
"""Maximum duration of a request that does not need the backend."""

wait_until = waiter(60)


@dataclass(frozen=True)
class Answer:
    response: httpx.Response
    seconds: float

    def assert_unavailable(self, type_: str, within_seconds: float) -> None:
        assert self.response.status_code == 503, self.response.text
        assert self.response.json()["type"].endswith(f":{type_}")
        assert int(self.response.headers["retry-after"]) > 0
        assert self.seconds < within_seconds + SLACK_SECONDS

    def assert_unaffected(self, status: int) -> None:
        assert self.response.status_code == status, self.response.text
        assert self.seconds < SOON_SECONDS


class Crowd:
    """Concurrent requests, with the duration of each."""

    def __init__(self, http: httpx.Client, threads: ThreadPoolExecutor) -> None:
        self._http = http
        self._threads = threads

    def ask(self, method: str, url: str, **given: Any) -> "Future[Answer]":
        return self._threads.submit(self.answer, method, url, **given)

    def answer(self, method: str, url: str, **given: Any) -> Answer:
        begin = time.monotonic()
        response = self._http.request(method, url, **given)
        return Answer(response, time.monotonic() - begin)


@contextmanager
def crowd(start_gateway: Any, environment: dict[str, str]) -> Iterator[Crowd]:
    limits = httpx.Limits(max_connections=200)
    with (
        start_gateway(environment) as gateway,
        httpx.Client(base_url=gateway.http.base_url, trust_env=False, timeout=120, limits=limits) as http,
        ThreadPoolExecutor(HANGING + 20) as threads,
    ):
        yield Crowd(http, threads)


def files(photo: bytes) -> dict[str, Any]:
    return {"params": {"prompt": "a photo of sks dog", "model_id": "dog"}, "files": {"files": ("a.jpg", photo)}}


def test_hanging_object_storage_fails_within_its_deadlines(
    start_gateway: Any, environment: dict[str, str], cluster: Any, job_name: str, picture: Draw
) -> None:
    cluster.create(Kind.GENERATE, job_name, {"prompt": "a dog"})
    cluster.set_status(Kind.GENERATE, job_name, phase="Running", attempts=1)
    [metrics_port] = free_ports(1)
    with SilentServer() as silent, ExitStack() as stack:
        own = {"DARKROOM_S3_ENDPOINT_URL": silent.url, "DARKROOM_GATEWAY_METRICS_PORT": str(metrics_port)}
        gateway = stack.enter_context(crowd(start_gateway, {**environment, **own}))
        control = deadlines.TURN_SECONDS + deadlines.STORAGE_SECONDS
        hanging = [gateway.ask("GET", "/models") for _ in range(HANGING)]
        others = [gateway.ask("POST", "/generate/lora", params={"prompt": "a", "model_id": "dog"})]
        others.append(gateway.ask("GET", f"/jobs/{job_name}/log"))
        training = gateway.ask("POST", "/train", **files(picture()))
        wait_until(lambda: silent.connections >= STORAGE_CALLS, "all calls of object storage are taken")

        gateway.answer("GET", "/healthz").assert_unaffected(200)
        gateway.answer("POST", "/generate/sdxl", params={"prompt": "a"}).assert_unaffected(202)
        gateway.answer("GET", "/jobs").assert_unaffected(200)
        gateway.answer("GET", f"http://127.0.0.1:{metrics_port}/metrics").assert_unaffected(200)
        gateway.answer("GET", f"/jobs/{job_name}").assert_unaffected(200)
        not_ready = gateway.answer("GET", "/readyz")
        not_ready.assert_unavailable("NotReady", deadlines.READY_SECONDS)
        assert [each["parameter"] for each in not_ready.response.json()["errors"]] == ["storage"]
        gateway.answer("GET", "/readyz?tolerate=storage").assert_unavailable("NotReady", deadlines.READY_SECONDS)

        for each in (*hanging, *others):
            each.result().assert_unavailable("StorageUnavailable", control)
            assert "Object storage" in each.result().response.json()["detail"]
        photo_seconds = deadlines.TURN_SECONDS + deadlines.upload_seconds(len(picture()))
        training.result().assert_unavailable("StorageUnavailable", photo_seconds + deadlines.CLEAN_UP_SECONDS)
        assert silent.connections <= 2 * (STORAGE_CALLS + 1 + UPLOAD_CALLS) * (1 + HANGING // STORAGE_CALLS)


def test_hanging_api_server_fails_within_its_deadlines(
    start_gateway: Any, environment: dict[str, str], tmp_path: Path, picture: Draw, stored_keys: Any
) -> None:
    photos = stored_keys("datasets/")
    kubeconfig = tmp_path / "kubeconfig.yaml"
    with SilentServer() as silent:
        kubeconfig.write_text(write_kubeconfig(silent.url, "token", "default"))
        with crowd(start_gateway, {**environment, "KUBECONFIG": str(kubeconfig)}) as gateway:
            write = deadlines.TURN_SECONDS + deadlines.CLUSTER_WRITE_SECONDS
            hanging = [gateway.ask("POST", "/generate/sdxl", params={"prompt": "a"}) for _ in range(HANGING)]
            wait_until(lambda: silent.connections >= CLUSTER_CALLS, "all calls of the API server are taken")

            gateway.answer("GET", "/healthz").assert_unaffected(200)
            gateway.answer("GET", "/models").assert_unaffected(200)
            not_ready = gateway.answer("GET", "/readyz")
            not_ready.assert_unavailable("NotReady", deadlines.READY_SECONDS)
            assert [each["parameter"] for each in not_ready.response.json()["errors"]] == ["cluster"]
            bad = gateway.answer("POST", "/train", **files(b"no picture"))
            bad.assert_unaffected(422)

            others = [gateway.ask("DELETE", "/jobs/a"), gateway.ask("GET", "/jobs/a/log")]
            keyed = gateway.ask("POST", "/train", headers={"Idempotency-Key": "1"}, **files(picture()))
            for each in (*hanging, *others, keyed):
                each.result().assert_unavailable("ClusterUnavailable", write)
    assert stored_keys("datasets/") == photos


def test_response_that_trickles_in_is_abandoned_too(
    start_gateway: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "kubeconfig.yaml"
    with SilentServer(trickles=True) as api, SilentServer(trickles=True) as storage:
        kubeconfig.write_text(write_kubeconfig(api.url, "token", "default"))
        given = {"KUBECONFIG": str(kubeconfig), "DARKROOM_S3_ENDPOINT_URL": storage.url}
        with crowd(start_gateway, {**environment, **given}) as gateway:
            asked = [gateway.ask("GET", url) for url in ("/models", "/jobs/a/log", "/readyz")]
            models, log, ready = (each.result() for each in asked)
            models.assert_unavailable("StorageUnavailable", deadlines.STORAGE_SECONDS)
            log.assert_unavailable("ClusterUnavailable", deadlines.CLUSTER_READ_SECONDS)
            ready.assert_unavailable("NotReady", deadlines.READY_SECONDS)
            assert [each["parameter"] for each in ready.response.json()["errors"]] == ["cluster", "storage"]


def test_photos_of_a_timed_out_submission_are_removed_once_storage_responds(
    start_gateway: Any, environment: dict[str, str], cluster: Any, stored_keys: Any, picture: Draw
) -> None:
    jobs, photos = cluster.count(Kind.TRAIN), stored_keys("datasets/")
    server_port = int(environment["DARKROOM_S3_ENDPOINT_URL"].rpartition(":")[2])
    proxy = HoldingProxy(server_port)
    proxy.hold(lambda line: b".jpg" in line)
    try:
        with crowd(start_gateway, {**environment, "DARKROOM_S3_ENDPOINT_URL": proxy.url}) as gateway:
            answer = gateway.answer("POST", "/train", **files(picture()))
            seconds = deadlines.upload_seconds(len(picture())) + deadlines.CLEAN_UP_SECONDS
            answer.assert_unavailable("StorageUnavailable", seconds)
            assert len(stored_keys("datasets/")) == len(photos) + 1

            proxy.release()
            wait_until(lambda: stored_keys("datasets/") == photos, "the photo is removed")
    finally:
        proxy.close()
    assert cluster.count(Kind.TRAIN) == jobs


def pausing_s3(listener: socket.socket, pause_seconds: float) -> None:
    """A server for one PUT that reads its body only after a pause."""
    connection, _ = listener.accept()
    with connection:
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(65536)
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        head, _, body = received.partition(b"\r\n\r\n")
        [length] = re.findall(rb"(?i)content-length: (\d+)", head)
        missing = int(length) - len(body)
        time.sleep(pause_seconds)  # What is tested: a server that is slow by this much.
        while missing > 0 and (chunk := connection.recv(1024**2)):
            missing -= len(chunk)
        connection.sendall(b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 0\r\n\r\n')


def test_upload_survives_a_pause_longer_than_the_connect_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as threads:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = threads.submit(pausing_s3, listener, deadlines.STORAGE_CONNECT_SECONDS + 1)
        with closing(ObjectStorage(Settings(s3_endpoint_url=url))) as storage:
            storage.put("photo.jpg", BytesIO(bytes(30 * 1024**2)), "image/jpeg")
        server.result()


def test_readiness_tolerates_storage_only_after_its_first_response(
    start_gateway: Any, environment: dict[str, str]
) -> None:
    server_port = int(environment["DARKROOM_S3_ENDPOINT_URL"].rpartition(":")[2])
    proxy = HoldingProxy(server_port)
    try:
        with crowd(start_gateway, {**environment, "DARKROOM_S3_ENDPOINT_URL": proxy.url}) as gateway:
            assert gateway.answer("GET", "/readyz?tolerate=storage").response.json()["status"] == "ready"
            proxy.hold(lambda _: True)

            gateway.answer("GET", "/readyz").assert_unavailable("NotReady", deadlines.READY_SECONDS)
            degraded = gateway.answer("GET", "/readyz?tolerate=storage")
            assert degraded.response.status_code == 200
            assert degraded.response.json() == {
                "status": "degraded",
                "checks": {"cluster": "ok", "storage": "Object storage did not answer within 2 s."},
            }
            assert degraded.seconds < deadlines.READY_SECONDS + SLACK_SECONDS
            proxy.release()
            assert gateway.answer("GET", "/readyz").response.json()["checks"] == {"cluster": "ok", "storage": "ok"}
    finally:
        proxy.close()


def documented() -> dict[str, list[float]]:
    """The numbers of each row of the table by the name of its constant."""
    rows = re.findall(r"^\| .* \| `([A-Z_]+_SECONDS)` \| (.*) \|$", read(REPOSITORY / "docs" / "api.md"), re.MULTILINE)
    return {name: [float(each) for each in re.findall(r"\d+(?:\.\d+)?", text)] for name, text in rows}


def test_documented_deadlines_equal_those_in_the_code() -> None:
    mine = {
        name: value for name, value in vars(deadlines).items() if name.endswith("_SECONDS") and not name.startswith("_")
    }
    assert documented() == {name: [value] for name, value in mine.items()}


def test_every_request_to_the_api_server_has_a_timeout() -> None:
    """The client has no default timeout."""
    trees = [ast.parse(read(path)) for path in Path(darkroom_gateway.__file__).parent.rglob("*.py")]
    calls = [
        node
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and "_namespaced_" in node.func.attr
    ]

    assert len(calls) >= 5
    assert [ast.unparse(each) for each in calls if "_request_timeout" not in {key.arg for key in each.keywords}] == []
