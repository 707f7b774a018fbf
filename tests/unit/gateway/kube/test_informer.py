"""The informer: polls are answered from one list-and-watch, and are marked stale when it is lost."""

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.counting_proxy import CountingProxy
from support.gateway_harness import GatewayHarness
from support.holding_proxy import HoldingProxy
from support.kube_api import ApiServer
from support.waiting import first_within, waiter

from darkroom_contract.names import Kind
from darkroom_gateway.kube.informer import LOST_AFTER_SECONDS
from darkroom_local.kube.kubeconfig import write_kubeconfig

wait_until = waiter(30)

GENERATION = {"prompt": "a dog"}
TRAINING = {"modelId": "dog", "prompt": "sks dog", "dataset": {"uri": "s3://darkroom/datasets/default/x/"}}


@pytest.fixture(scope="module")
def harness(
    start_gateway: Any, environment: dict[str, str], cluster: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayHarness]:
    folder = tmp_path_factory.mktemp("informer")
    server = ApiServer(folder)
    server.start()
    proxy = CountingProxy(server.port)
    writer = type(cluster)(server.kubeconfig)
    writer.install_crds()

    @contextlib.contextmanager
    def start(url: str) -> Iterator[Any]:
        kubeconfig = folder / f"{url.rpartition(':')[2]}.yaml"
        kubeconfig.write_text(write_kubeconfig(url, server.token, "default"))
        with start_gateway({**environment, "KUBECONFIG": str(kubeconfig)}) as gateway:
            wait_until(lambda: gateway.http.get("/jobs").is_success, "the gateway has read the jobs")
            yield gateway

    with start(proxy.url) as gateway:
        yield GatewayHarness(server, writer, proxy, gateway, start)
    proxy.close()
    writer.http.close()
    server.stop()


def http_answer(status: str, document: dict[str, Any]) -> bytes:
    """A raw response with a line of JSON, for a watch or another request."""
    body = json.dumps(document).encode() + b"\n"
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


GONE = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired", "message": "old"}


def test_polls_and_lists_send_no_requests_to_the_api_server(harness: GatewayHarness, job_name: str) -> None:
    for kind, spec in ((Kind.TRAIN, TRAINING), (Kind.GENERATE, GENERATION)):
        harness.cluster.create(kind, job_name, spec)
        wait_until(lambda kind=kind: harness.phase(job_name, kind) == "Queued", "the job is known")
    before = len(harness.proxy.asked())

    for _ in range(50):
        harness.poll("/result", task_id=job_name)
        harness.poll("/images", task_id=job_name)
        harness.poll(f"/jobs/{job_name}", kind="TrainJob")
        harness.poll("/jobs", limit=5, phase="Queued")

    assert harness.proxy.asked()[before:] == []


def test_change_is_visible_within_a_second(harness: GatewayHarness, job_name: str) -> None:
    harness.cluster.create(Kind.GENERATE, job_name, GENERATION)
    wait_until(lambda: harness.phase(job_name) == "Queued", "the job is known")

    def seconds_until_told(phase: str) -> float:
        harness.cluster.set_status(Kind.GENERATE, job_name, phase=phase)
        began = time.monotonic()
        wait_until(lambda: harness.phase(job_name) == phase, f"{phase} is shown")
        return time.monotonic() - began

    phases = itertools.cycle(("Starting", "Running"))
    assert first_within(1.0, lambda: seconds_until_told(next(phases)), attempts=10) < 1.0


def test_answers_are_stale_while_the_api_server_is_stopped(harness: GatewayHarness, job_name: str) -> None:
    harness.cluster.create(Kind.TRAIN, job_name, TRAINING)
    wait_until(lambda: harness.phase(job_name, Kind.TRAIN) == "Queued", "the job is known")

    with harness.paused():
        began = time.monotonic()
        for path, query in (("/result", {"task_id": job_name}), (f"/jobs/{job_name}", {}), ("/jobs", {"limit": 1})):
            wait_until(lambda path=path, query=query: "stale" in harness.poll(path, **query), f"{path} says so")
        assert time.monotonic() - began < 2 * LOST_AFTER_SECONDS
        answer = harness.poll("/result", task_id=job_name)
        assert (answer["phase"], set(answer["stale"])) == ("Queued", {"since", "detail"})
        assert answer["stale"]["since"].endswith("Z")

    assert "stale" not in harness.poll("/result", task_id=job_name)


def test_unknown_task_is_503_while_the_watch_is_lost_and_404_afterwards(harness: GatewayHarness) -> None:
    with harness.paused():
        wait_until(lambda: "stale" in harness.poll("/jobs"), "the watch is lost")
        response = harness.http.get("/result", params={"task_id": "nobody-knows"})
        assert (response.status_code, response.json()["type"]) == (503, "tag:darkroom.dev,2026:ClusterUnavailable")
        assert int(response.headers["retry-after"]) > 0

    assert harness.http.get("/result", params={"task_id": "nobody-knows"}).status_code == 404


def test_unknown_task_costs_one_read_per_kind_and_second(harness: GatewayHarness, job_name: str) -> None:
    before, began = len(harness.proxy.asked()), time.monotonic()

    found = {harness.http.get(f"/jobs/{job_name}").status_code for _ in range(20)}

    assert found == {404}
    looks = [line for line in harness.proxy.asked()[before:] if job_name.encode() in line]
    assert 2 <= len(looks) <= 2 * (1 + time.monotonic() - began) < 40


def test_hanging_watch_of_a_healthy_api_server_is_detected(harness: GatewayHarness, job_name: str) -> None:
    proxy = HoldingProxy(harness.server.port)
    with harness.start(proxy.url) as gateway:
        proxy.hold(lambda line: b"watch=" in line)
        harness.cluster.create(Kind.GENERATE, job_name, GENERATION)
        wait_until(lambda: "stale" in gateway.http.get("/jobs").json(), "the list says so")

        proxy.release()

        wait_until(lambda: gateway.http.get(f"/jobs/{job_name}").is_success, "the job is known")
        wait_until(lambda: "stale" not in gateway.http.get("/jobs").json(), "the watch is back")
    proxy.close()


def test_own_writes_are_visible_immediately(harness: GatewayHarness) -> None:
    """Without the watch."""
    proxy = HoldingProxy(harness.server.port)
    with harness.start(proxy.url) as gateway:
        proxy.hold(lambda line: b"watch=" in line)
        task = gateway.http.post("/generate/sdxl", params={"prompt": "a dog"}).json()["task_id"]

        listed = gateway.http.get("/jobs", params={"limit": 1}).json()["jobs"]
        assert [each["task_id"] for each in listed] == [task]
        assert gateway.http.delete(f"/jobs/{task}").status_code == 204
        assert gateway.http.get("/images", params={"task_id": task}).status_code in (404, 503)
        assert task not in gateway.http.get("/jobs", params={"limit": 5}).text
        proxy.release()
    proxy.close()


def test_task_that_another_gateway_has_just_created_is_found(harness: GatewayHarness, job_name: str) -> None:
    proxy = HoldingProxy(harness.server.port)
    with harness.start(proxy.url) as gateway:
        proxy.hold(lambda line: b"watch=" in line)
        harness.cluster.create(Kind.GENERATE, job_name, GENERATION)

        assert gateway.http.get("/images", params={"task_id": job_name}).json()["phase"] == "Queued"
        proxy.release()
    proxy.close()


def test_watch_reconnects_without_missing_changes(harness: GatewayHarness, job_name: str) -> None:
    harness.cluster.create(Kind.GENERATE, job_name, GENERATION)
    wait_until(lambda: harness.phase(job_name) == "Queued", "the job is known")
    for phase in ("Starting", "Running", "Failed"):
        harness.proxy.cut()
        harness.cluster.set_status(Kind.GENERATE, job_name, phase=phase)
        wait_until(lambda phase=phase: harness.phase(job_name) == phase, f"it is {phase}")

    harness.wait_until_watched()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(http_answer("410 Gone", GONE), id="status"),
        pytest.param(http_answer("200 OK", {"type": "ERROR", "object": GONE}), id="event"),
    ],
)
def test_expired_history_causes_a_new_list(harness: GatewayHarness, job_name: str, answer: bytes) -> None:
    harness.wait_until_watched()
    sent = threading.Event()

    def once(line: bytes) -> bytes | None:
        if b"watch=" not in line or b"generatejobs" not in line or sent.is_set():
            return None
        sent.set()
        return answer

    before = len(harness.proxy.asked())
    harness.proxy.answer = once
    assert sent.wait(30)
    harness.cluster.create(Kind.GENERATE, job_name, GENERATION)

    wait_until(lambda: [line for line in harness.proxy.asked()[before:] if b"generatejobs?" in line], "they are listed")
    wait_until(lambda: job_name in harness.http.get("/jobs").text, "the new job is in the list")
    harness.wait_until_watched()


def test_recreated_job_of_the_same_name_is_another_job(harness: GatewayHarness, job_name: str) -> None:
    harness.cluster.create(Kind.GENERATE, job_name, GENERATION)
    harness.cluster.set_status(Kind.GENERATE, job_name, phase="Failed")
    wait_until(lambda: harness.phase(job_name) == "Failed", "it has failed")
    harness.cluster.delete(Kind.GENERATE, job_name)

    harness.cluster.create(Kind.GENERATE, job_name, {"prompt": "a cat"})

    wait_until(lambda: harness.phase(job_name) == "Queued", "the new one is shown")
    assert harness.poll("/images", task_id=job_name)["prompt"] == "a cat"
    assert [each["task_id"] for each in harness.poll("/jobs", limit=1000)["jobs"]].count(job_name) == 1


def test_restarted_api_server_is_listed_and_watched_again(harness: GatewayHarness, job_name: str) -> None:
    harness.server.stop()
    wait_until(lambda: "stale" in harness.poll("/jobs"), "the loss is said")
    harness.server.start()
    harness.wait_until_watched()

    harness.cluster.create(Kind.GENERATE, job_name, GENERATION)

    wait_until(lambda: job_name in harness.http.get("/jobs").text, "the new job is in the list")


def test_poll_outside_of_the_fast_path_gets_the_same_response(harness: GatewayHarness, job_name: str) -> None:
    harness.cluster.create(Kind.GENERATE, job_name, GENERATION)
    wait_until(lambda: harness.phase(job_name) == "Queued", "the job is known")

    short = harness.http.get(f"/images?task_id={job_name}")
    checked = harness.http.get(f"/images?task%5Fid={job_name}")

    assert short.content == checked.content
    assert short.headers["content-type"] == checked.headers["content-type"]
    assert harness.http.get(f"/images?task_id={job_name}&task_id={job_name}").status_code == 422
    assert harness.http.request("GET", f"/images?task_id={job_name}", content=b"{}").status_code == 422
    job, other = harness.http.get(f"/jobs/{job_name}"), harness.http.get(f"/jobs/{job_name}?kind=Generate%4Aob")
    assert job.content == other.content


def test_countdown_to_the_start_is_updated(harness: GatewayHarness, job_name: str) -> None:
    harness.cluster.create(Kind.GENERATE, job_name, GENERATION)
    queue = {"position": 0, "estimatedStartTime": "2100-01-01T00:00:00Z"}
    harness.cluster.set_status(Kind.GENERATE, job_name, phase="Queued", queue=queue)
    wait_until(lambda: "queue" in harness.poll("/images", task_id=job_name), "its place is shown")

    def seconds() -> float:
        found: float = harness.poll("/images", task_id=job_name)["queue"]["estimated_start_seconds"]
        return found

    first = seconds()
    wait_until(lambda: first - seconds() >= 1, "a second has gone by", 5)


def test_request_before_the_first_list_waits_and_then_gets_a_503(
    start_gateway: Any, environment: dict[str, str], kubeconfig_of_nowhere: Path
) -> None:
    with start_gateway({**environment, "KUBECONFIG": str(kubeconfig_of_nowhere)}) as gateway:
        response = gateway.http.get("/jobs")

    assert response.status_code == 503
    assert response.json()["type"].endswith(":ClusterUnavailable")


def test_lora_in_training_is_known_without_listing_trainings(harness: GatewayHarness, job_name: str) -> None:
    harness.cluster.create(Kind.TRAIN, job_name, {**TRAINING, "modelId": job_name})
    wait_until(lambda: harness.phase(job_name, Kind.TRAIN) == "Queued", "the training is known")
    before = len(harness.proxy.asked())

    response = harness.http.post("/generate/lora", params={"prompt": "sks dog", "model_id": job_name})

    assert response.status_code == 202
    assert [line.split()[0] for line in harness.proxy.asked()[before:]] == [b"POST"]
