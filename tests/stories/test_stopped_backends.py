"""A server is frozen (SIGSTOP: it accepts connections and never answers) while fifty requests wait for it.

Every answer comes within its documented deadline (docs/api.md), requests that don't need the server notice nothing, and
once it continues, everything works again without a restart.
"""

import itertools
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from support.darkroom_up import Darkroom, wait_for
from support.waiting import first_within
from support.warm_parent.installation import WarmParent

from darkroom_gateway.backends import deadlines

HANGING = 50
SOON_SECONDS = 3.0
"""A request that doesn't need the stopped server, with 50 others in progress."""
SLACK_SECONDS = 3.0
"""Slack for a busy machine."""
BACK_SECONDS = 30.0
READ_SECONDS = 1.0
"""How long a stream waits for new progress, when Redis answers."""
TRIES = 2
"""Redis may have closed an idle connection: then the second request shows it."""
JOB = {"prompt": "a red circle", "suspend": "true"}
"""One that stays in the queue: these stories are about the gateway."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    seconds: float

    def assert_unavailable(self, type_: str) -> None:
        assert self.status == 503, self.body
        assert self.body["type"].endswith(f":{type_}")


class People:
    """Requests to one gateway, each timed, many at once."""

    def __init__(self, darkroom: Darkroom, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        limits = httpx.Limits(max_connections=2 * HANGING)
        self.http = httpx.Client(base_url=darkroom.url, trust_env=False, timeout=120, limits=limits)

    def ask(self, method: str, url: str, **given: Any) -> Answer:
        begin = time.monotonic()
        response = self.http.request(method, url, **given)
        return Answer(response.status_code, response.json(), time.monotonic() - begin)

    def begin(self, method: str, url: str, **given: Any) -> "Future[Answer]":
        return self._threads.submit(self.ask, method, url, **given)

    def first_warning(self, task_id: str) -> "Future[Answer]":
        return self._threads.submit(self._first_warning, task_id)

    def _first_warning(self, task_id: str) -> Answer:
        begin = time.monotonic()
        with self.http.stream("GET", f"/jobs/{task_id}/events") as response:
            lines = response.iter_lines()
            assert next(lines) == "event: status"
            next(line for line in lines if line == "event: warning")
            data = next(line for line in lines if line.startswith("data: "))
            return Answer(response.status_code, json.loads(data.removeprefix("data: ")), time.monotonic() - begin)

    def assert_unaffected(self, method: str, url: str, status: int = 200, **given: Any) -> None:
        def seconds() -> float:
            answer = self.ask(method, url, **given)
            assert answer.status == status, answer.body
            return answer.seconds

        assert first_within(SOON_SECONDS, seconds) < SOON_SECONDS

    def assert_ready(self) -> None:
        wait_for(lambda: self.ask("GET", "/readyz").status == 200, "the gateway is ready again", BACK_SECONDS)

    def assert_not_ready(self, name: str) -> None:
        def seconds() -> float:
            answer = self.ask("GET", "/readyz")
            answer.assert_unavailable("NotReady")
            assert [each["parameter"] for each in answer.body["errors"]] == [name]
            return answer.seconds

        limit_seconds = deadlines.READY_SECONDS + SLACK_SECONDS
        assert first_within(limit_seconds, seconds) < limit_seconds


class Crowd:
    """Many requests at once that hang; further ones are begun if a busy machine has delayed the first."""

    def __init__(self, begin: Callable[[], "list[Future[Answer]]"]) -> None:
        self._first = begin()
        self._batches = itertools.chain([self._first], iter(begin, None))
        wait_for(lambda: all(each.running() for each in self._first), "requests hang")

    def assert_ends(self, deadline_seconds: float, check: Callable[[Answer], None]) -> None:
        """All of a batch are answered within the deadline."""

        def slowest_seconds() -> float:
            answers = [each.result() for each in next(self._batches)]
            for answer in answers:
                check(answer)
            return max(answer.seconds for answer in answers)

        limit_seconds = deadline_seconds + SLACK_SECONDS
        assert first_within(limit_seconds, slowest_seconds) < limit_seconds


@pytest.fixture(scope="module")
def darkroom(tmp_path_factory: pytest.TempPathFactory, warm_cluster: WarmParent) -> Iterator[Darkroom]:
    """A separate cluster: the operator is affected too when the API server is frozen."""
    folder = tmp_path_factory.mktemp("stopped")
    own = Darkroom(folder, warm_cluster.python, kubeconfig=None, program=warm_cluster.darkroom)
    own.start()
    yield own
    own.close()


@pytest.fixture
def people(darkroom: Darkroom) -> Iterator[People]:
    with ThreadPoolExecutor(HANGING + 5) as threads:
        found = People(darkroom, threads)
        yield found
        found.http.close()


@contextmanager
def stopped(darkroom: Darkroom, part: str) -> Iterator[None]:
    """Freezes the one process of a part of the cluster."""
    [pid] = wait_for(lambda: darkroom.part(part), f"{part} runs", 20)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def number_of_jobs(darkroom: Darkroom) -> int:
    return len(darkroom.kubectl("get", "generatejobs.darkroom.dev", "-o", "name").splitlines())


def assert_is_about_progress(answer: Answer) -> None:
    assert answer.body["source"] == "progress"


def test_frozen_object_storage(darkroom: Darkroom, people: People) -> None:
    task_id = darkroom.generate(**JOB)
    with stopped(darkroom, "s3"):
        hanging = Crowd(lambda: [people.begin("GET", "/models") for _ in range(HANGING)])

        people.assert_unaffected("GET", "/healthz")
        people.assert_unaffected("POST", "/generate/sdxl", 202, params=JOB)
        people.assert_unaffected("GET", "/jobs")
        people.assert_unaffected("GET", f"/jobs/{task_id}")
        people.assert_unaffected("GET", f"/images?task_id={task_id}")
        people.assert_not_ready("storage")
        degraded = people.ask("GET", "/readyz?tolerate=storage")
        assert (degraded.status, degraded.body["status"]) == (200, "degraded")

        read_seconds = deadlines.TURN_SECONDS + deadlines.STORAGE_SECONDS
        hanging.assert_ends(read_seconds, lambda answer: answer.assert_unavailable("StorageUnavailable"))

    people.assert_ready()
    people.assert_unaffected("GET", "/models")


def test_frozen_redis(darkroom: Darkroom, people: People) -> None:
    task_id = darkroom.generate(**JOB)
    with stopped(darkroom, "redis"):
        hanging = Crowd(lambda: [people.first_warning(task_id) for _ in range(HANGING)])

        for url in ("/healthz", "/readyz", "/models", "/jobs", f"/jobs/{task_id}", f"/images?task_id={task_id}"):
            people.assert_unaffected("GET", url)
        people.assert_unaffected("POST", "/generate/sdxl", 202, params=JOB)

        redis_seconds = TRIES * (READ_SECONDS + deadlines.REDIS_SILENCE_SECONDS)
        hanging.assert_ends(redis_seconds, assert_is_about_progress)

    people.assert_unaffected("GET", f"/jobs/{task_id}")


def test_frozen_api_server(darkroom: Darkroom, people: People) -> None:
    task_id = darkroom.generate(**JOB)
    before = number_of_jobs(darkroom)
    submissions = [
        {"params": {**JOB, "seed": number}, "headers": {"Idempotency-Key": f"stopped-{number}"}}
        for number in range(HANGING)
    ]
    with stopped(darkroom, "apiserver"):
        hanging = Crowd(lambda: [people.begin("POST", "/generate/sdxl", **each) for each in submissions])

        people.assert_unaffected("GET", "/healthz")
        people.assert_unaffected("GET", "/models")
        people.assert_not_ready("cluster")
        for url in (f"/jobs/{task_id}", f"/images?task_id={task_id}"):
            people.assert_unaffected("GET", url)
            wait_for(lambda url=url: "stale" in people.ask("GET", url).body, "the answer says that it may be old")

        write_seconds = deadlines.TURN_SECONDS + deadlines.CLUSTER_WRITE_SECONDS
        hanging.assert_ends(write_seconds, lambda answer: answer.assert_unavailable("ClusterUnavailable"))

    people.assert_ready()
    # Some of them reached the API server after all. After a retry each job exists once.
    again = [people.begin("POST", "/generate/sdxl", **each) for each in submissions]
    assert {each.result().status for each in again} == {202}
    assert len({each.result().body["task_id"] for each in again}) == HANGING
    assert number_of_jobs(darkroom) == before + HANGING
