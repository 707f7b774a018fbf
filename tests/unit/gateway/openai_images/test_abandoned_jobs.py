"""Jobs whose clients have disconnected are deleted, also when hundreds disconnect at once or the API server is away."""

import asyncio
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any, cast

import pytest
from starlette.types import Message
from support.job_documents import job_document

from darkroom_contract.jobs import Job, read_job
from darkroom_gateway.errors import ClusterUnavailableError
from darkroom_gateway.http.shutdown import Shutdown
from darkroom_gateway.jobs.dependencies import Submitter
from darkroom_gateway.openai_images import abandoned_jobs
from darkroom_gateway.openai_images.abandoned_jobs import CONCURRENT_DELETIONS, AbandonedJobs
from darkroom_gateway.openai_images.service import ImageJobs
from darkroom_gateway.openai_images.stream import ImageStream

NOBODY = Submitter(key_name=None, idempotency_key=None)


class Sweeper:
    """Deletes jobs, after some failures."""

    def __init__(self, failures: int = 0) -> None:
        self._failures = failures
        self._current = 0
        self.most_at_once = 0
        self.deleted = 0

    async def delete_job_if(self, _job: Job, _condition: Any) -> bool:
        self._current += 1
        self.most_at_once = max(self.most_at_once, self._current)
        await asyncio.sleep(0)
        self._current -= 1
        if self._failures:
            self._failures -= 1
            raise ClusterUnavailableError("The API server is overloaded.")
        self.deleted += 1
        return True


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abandoned_jobs, "MAX_PAUSE_SECONDS", 0.0)


@pytest.fixture
def job() -> Job:
    return read_job(job_document(1))


async def all_deleted(sweeper: Sweeper, count: int) -> None:
    async with asyncio.timeout(60):
        while sweeper.deleted < count:  # noqa: ASYNC110 (the sweeper is the test's own)
            await asyncio.sleep(0)


async def test_job_is_deleted_once_the_api_server_answers(job: Job) -> None:
    sweeper = Sweeper(failures=50)

    AbandonedJobs(sweeper, Shutdown()).add(job)  # type: ignore[arg-type]

    await all_deleted(sweeper, 1)


async def test_hundreds_of_disconnects_delete_a_few_jobs_at_once(job: Job) -> None:
    sweeper = Sweeper(failures=20)
    jobs = AbandonedJobs(sweeper, Shutdown())  # type: ignore[arg-type]

    for _ in range(200):
        jobs.add(job)

    await all_deleted(sweeper, 200)
    assert sweeper.most_at_once == CONCURRENT_DELETIONS


async def test_job_beyond_the_queue_is_kept(
    job: Job, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(abandoned_jobs, "MAX_WAITING", 1)
    sweeper = Sweeper()
    jobs = AbandonedJobs(sweeper, Shutdown())  # type: ignore[arg-type]

    jobs.add(job)
    jobs.add(job)
    await jobs.close()

    assert sweeper.deleted == 1
    assert f"{job.key} was kept" in caplog.text


async def test_gateway_that_stops_does_not_wait_for_the_api_server(
    job: Job, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A pause ends when the gateway stops."""
    monkeypatch.setattr(abandoned_jobs, "MAX_PAUSE_SECONDS", 3600.0)
    monkeypatch.setattr(abandoned_jobs, "CLOSE_SECONDS", 60.0)
    monkeypatch.setattr(abandoned_jobs, "TICK_SECONDS", 0.01)
    sweeper, shutdown = Sweeper(failures=1000), Shutdown()
    jobs = AbandonedJobs(sweeper, shutdown)  # type: ignore[arg-type]
    jobs.add(job)
    await asyncio.sleep(0.05)

    shutdown.streams_end.set()
    await jobs.close()

    assert sweeper.deleted == 0
    assert f"{job.key} was kept" in caplog.text
    assert "stopped before" not in caplog.text


class HangingSweeper:
    async def delete_job_if(self, _job: Job, _condition: Any) -> bool:
        await asyncio.Event().wait()
        return True


async def test_gateway_that_stops_does_not_wait_for_a_hanging_deletion(
    job: Job, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(abandoned_jobs, "CLOSE_SECONDS", 0.01)
    tasks, hanging = asyncio.all_tasks(), AbandonedJobs(HangingSweeper(), Shutdown())  # type: ignore[arg-type]
    hanging.add(job)

    await hanging.close()

    assert asyncio.all_tasks() == tasks
    assert "stopped before 1 jobs" in caplog.text


class Events:
    """Of a job that waits in the queue."""

    has_left = False

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        await asyncio.Event().wait()
        yield b""

    def leave(self) -> None:
        self.has_left = True


async def _disconnected() -> Message:
    return {"type": "http.disconnect"}


async def _send(_message: Message) -> None:
    pass


async def test_stream_gives_its_place_back_before_its_job_is_deleted(job: Job) -> None:
    abandoned, unused, events = AbandonedJobs(HangingSweeper(), Shutdown()), cast(Any, None), Events()  # type: ignore[arg-type]
    jobs = ImageJobs(unused, unused, abandoned, unused, Shutdown(), {}, 1)

    stream = ImageStream(cast(Any, events), partial(jobs.abandon, job, NOBODY), {})
    async with asyncio.timeout(30):
        await stream({"type": "http", "method": "POST", "path": "/"}, _disconnected, _send)

    assert events.has_left
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
