"""One list-and-watch of jobs answers every poll, and says so when it is lost."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.counting_proxy import CountingProxy
from support.gateway_worlds import World
from support.holding_proxy import HoldingProxy
from support.kube_api import ApiServer
from support.waiting import patience

from darkroom_contract.names import Kind
from darkroom_gateway.informer import LOST_AFTER_SECONDS
from darkroom_local.kube.kubeconfig import write_kubeconfig

wait_until = patience(30)

GENERATION = {"prompt": "a dog"}
TRAINING = {"modelId": "dog", "prompt": "sks dog", "dataset": {"uri": "s3://darkroom/datasets/default/x/"}}


@pytest.fixture(scope="module")
def world(
    start_gateway: Any, environment: dict[str, str], cluster: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
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
        yield World(server, writer, proxy, gateway, start)
    proxy.close()
    writer.http.close()
    server.stop()


def http_answer(status: str, document: dict[str, Any]) -> bytes:
    """One line, as of a watch; an answer as well."""
    body = json.dumps(document).encode() + b"\n"
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


GONE = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired", "message": "old"}


def test_polls_and_lists_ask_the_api_server_nothing(world: World, job_name: str) -> None:
    for kind, spec in ((Kind.TRAIN, TRAINING), (Kind.GENERATE, GENERATION)):
        world.cluster.create(kind, job_name, spec)
        wait_until(lambda kind=kind: world.phase(job_name, kind) == "Queued", "the job is known")
    before = len(world.proxy.asked())

    for _ in range(50):
        world.poll("/result", task_id=job_name)
        world.poll("/images", task_id=job_name)
        world.poll(f"/jobs/{job_name}", kind="TrainJob")
        world.poll("/jobs", limit=5, phase="Queued")

    assert world.proxy.asked()[before:] == []


def test_a_change_is_told_within_a_second(world: World, job_name: str) -> None:
    world.cluster.create(Kind.GENERATE, job_name, GENERATION)
    wait_until(lambda: world.phase(job_name) == "Queued", "the job is known")

    def seconds_until_told(phase: str) -> float:
        world.cluster.set_status(Kind.GENERATE, job_name, phase=phase)
        began = time.monotonic()
        wait_until(lambda: world.phase(job_name) == phase, f"{phase} is shown")
        return time.monotonic() - began

    assert min(map(seconds_until_told, ("Starting", "Running", "Failed"))) < 1.0


def test_a_stopped_api_server_is_said_and_what_is_known_is_still_told(world: World, job_name: str) -> None:
    world.cluster.create(Kind.TRAIN, job_name, TRAINING)
    wait_until(lambda: world.phase(job_name, Kind.TRAIN) == "Queued", "the job is known")

    with world.standing_still():
        began = time.monotonic()
        for path, query in (("/result", {"task_id": job_name}), (f"/jobs/{job_name}", {}), ("/jobs", {"limit": 1})):
            wait_until(lambda path=path, query=query: "stale" in world.poll(path, **query), f"{path} says so")
        assert time.monotonic() - began < 2 * LOST_AFTER_SECONDS
        answer = world.poll("/result", task_id=job_name)
        assert (answer["phase"], set(answer["stale"])) == ("Queued", {"since", "detail"})
        assert answer["stale"]["since"].endswith("Z")

    assert "stale" not in world.poll("/result", task_id=job_name)


def test_an_unknown_task_is_503_while_the_watch_is_lost_and_404_afterwards(world: World) -> None:
    with world.standing_still():
        wait_until(lambda: "stale" in world.poll("/jobs"), "the watch is lost")
        response = world.http.get("/result", params={"task_id": "nobody-knows"})
        assert (response.status_code, response.json()["type"]) == (503, "tag:darkroom.dev,2026:ClusterUnavailable")
        assert int(response.headers["retry-after"]) > 0

    assert world.http.get("/result", params={"task_id": "nobody-knows"}).status_code == 404


def test_an_unknown_task_costs_one_look_a_kind_and_second_however_often_it_is_asked_for(
    world: World, job_name: str
) -> None:
    before, began = len(world.proxy.asked()), time.monotonic()

    found = {world.http.get(f"/jobs/{job_name}").status_code for _ in range(20)}

    assert found == {404}
    looks = [line for line in world.proxy.asked()[before:] if job_name.encode() in line]
    assert 2 <= len(looks) <= 2 * (1 + time.monotonic() - began) < 40


def test_a_silent_watch_beside_a_healthy_api_server_is_noticed(world: World, job_name: str) -> None:
    proxy = HoldingProxy(world.server.port)
    with world.start(proxy.url) as gateway:
        proxy.hold(lambda line: b"watch=" in line)
        world.cluster.create(Kind.GENERATE, job_name, GENERATION)
        wait_until(lambda: "stale" in gateway.http.get("/jobs").json(), "the list says so")

        proxy.release()

        wait_until(lambda: gateway.http.get(f"/jobs/{job_name}").is_success, "the job is known")
        wait_until(lambda: "stale" not in gateway.http.get("/jobs").json(), "the watch is back")
    proxy.close()


def test_what_a_gateway_writes_it_shows_at_once(world: World) -> None:
    """Without any help from its watch."""
    proxy = HoldingProxy(world.server.port)
    with world.start(proxy.url) as gateway:
        proxy.hold(lambda line: b"watch=" in line)
        task = gateway.http.post("/generate/sdxl", params={"prompt": "a dog"}).json()["task_id"]

        listed = gateway.http.get("/jobs", params={"limit": 1}).json()["jobs"]
        assert [each["task_id"] for each in listed] == [task]
        assert gateway.http.delete(f"/jobs/{task}").status_code == 204
        assert gateway.http.get("/images", params={"task_id": task}).status_code in (404, 503)
        assert task not in gateway.http.get("/jobs", params={"limit": 5}).text
        proxy.release()
    proxy.close()


def test_a_task_that_another_gateway_has_just_taken_is_found(world: World, job_name: str) -> None:
    proxy = HoldingProxy(world.server.port)
    with world.start(proxy.url) as gateway:
        proxy.hold(lambda line: b"watch=" in line)
        world.cluster.create(Kind.GENERATE, job_name, GENERATION)

        assert gateway.http.get("/images", params={"task_id": job_name}).json()["phase"] == "Queued"
        proxy.release()
    proxy.close()


def test_broken_connections_are_made_anew_and_nothing_is_missed(world: World, job_name: str) -> None:
    world.cluster.create(Kind.GENERATE, job_name, GENERATION)
    wait_until(lambda: world.phase(job_name) == "Queued", "the job is known")
    for phase in ("Starting", "Running", "Failed"):
        world.proxy.cut()
        world.cluster.set_status(Kind.GENERATE, job_name, phase=phase)
        wait_until(lambda phase=phase: world.phase(job_name) == phase, f"it is {phase}")

    world.wait_until_heard()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(http_answer("410 Gone", GONE), id="status"),
        pytest.param(http_answer("200 OK", {"type": "ERROR", "object": GONE}), id="event"),
    ],
)
def test_a_lost_history_is_listed_anew(world: World, job_name: str, answer: bytes) -> None:
    world.wait_until_heard()
    told = threading.Event()

    def once(line: bytes) -> bytes | None:
        if b"watch=" not in line or b"generatejobs" not in line or told.is_set():
            return None
        told.set()
        return answer

    before = len(world.proxy.asked())
    world.proxy.answer = once
    assert told.wait(30)
    world.cluster.create(Kind.GENERATE, job_name, GENERATION)

    wait_until(lambda: [line for line in world.proxy.asked()[before:] if b"generatejobs?" in line], "they are listed")
    wait_until(lambda: job_name in world.http.get("/jobs").text, "the new job is in the list")
    world.wait_until_heard()


def test_a_job_that_is_made_again_under_its_name_is_another_one(world: World, job_name: str) -> None:
    world.cluster.create(Kind.GENERATE, job_name, GENERATION)
    world.cluster.set_status(Kind.GENERATE, job_name, phase="Failed")
    wait_until(lambda: world.phase(job_name) == "Failed", "it has failed")
    world.cluster.delete(Kind.GENERATE, job_name)

    world.cluster.create(Kind.GENERATE, job_name, {"prompt": "a cat"})

    wait_until(lambda: world.phase(job_name) == "Queued", "the new one is shown")
    assert world.poll("/images", task_id=job_name)["prompt"] == "a cat"
    assert [each["task_id"] for each in world.poll("/jobs", limit=1000)["jobs"]].count(job_name) == 1


def test_an_api_server_that_starts_again_is_listed_and_watched_again(world: World, job_name: str) -> None:
    world.server.stop()
    wait_until(lambda: "stale" in world.poll("/jobs"), "the loss is said")
    world.server.start()
    world.wait_until_heard()

    world.cluster.create(Kind.GENERATE, job_name, GENERATION)

    wait_until(lambda: job_name in world.http.get("/jobs").text, "the new job is in the list")


def test_a_poll_that_needs_checks_is_answered_the_same(world: World, job_name: str) -> None:
    world.cluster.create(Kind.GENERATE, job_name, GENERATION)
    wait_until(lambda: world.phase(job_name) == "Queued", "the job is known")

    short = world.http.get(f"/images?task_id={job_name}")
    checked = world.http.get(f"/images?task%5Fid={job_name}")

    assert short.content == checked.content
    assert short.headers["content-type"] == checked.headers["content-type"]
    assert world.http.get(f"/images?task_id={job_name}&task_id={job_name}").status_code == 422
    assert world.http.request("GET", f"/images?task_id={job_name}", content=b"{}").status_code == 422
    job, other = world.http.get(f"/jobs/{job_name}"), world.http.get(f"/jobs/{job_name}?kind=Generate%4Aob")
    assert job.content == other.content


def test_the_seconds_until_a_start_go_by(world: World, job_name: str) -> None:
    world.cluster.create(Kind.GENERATE, job_name, GENERATION)
    queue = {"position": 0, "estimatedStartTime": "2100-01-01T00:00:00Z"}
    world.cluster.set_status(Kind.GENERATE, job_name, phase="Queued", queue=queue)
    wait_until(lambda: "queue" in world.poll("/images", task_id=job_name), "its place is shown")

    def seconds() -> float:
        found: float = world.poll("/images", task_id=job_name)["queue"]["estimated_start_seconds"]
        return found

    first = seconds()
    wait_until(lambda: first - seconds() >= 1, "a second has gone by", 5)


def test_before_the_first_list_a_request_waits_and_then_is_told_so(
    start_gateway: Any, environment: dict[str, str], kubeconfig_of_nowhere: Path
) -> None:
    with start_gateway({**environment, "KUBECONFIG": str(kubeconfig_of_nowhere)}) as gateway:
        response = gateway.http.get("/jobs")

    assert response.status_code == 503
    assert response.json()["type"].endswith(":ClusterUnavailable")


def test_a_lora_in_the_making_is_known_without_a_list_of_trainings(world: World, job_name: str) -> None:
    world.cluster.create(Kind.TRAIN, job_name, {**TRAINING, "modelId": job_name})
    wait_until(lambda: world.phase(job_name, Kind.TRAIN) == "Queued", "the training is known")
    before = len(world.proxy.asked())

    response = world.http.post("/generate/lora", params={"prompt": "sks dog", "model_id": job_name})

    assert response.status_code == 202
    assert [line.split()[0] for line in world.proxy.asked()[before:]] == [b"POST"]
