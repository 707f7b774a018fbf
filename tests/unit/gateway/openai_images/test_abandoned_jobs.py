"""Jobs whose clients have disconnected are deleted, also when hundreds disconnect at once or the API server is away."""

import asyncio
from typing import Any

import pytest
from support.job_documents import job_document

from darkroom_contract.jobs import Job, read_job
from darkroom_gateway.errors import ClusterUnavailableError
from darkroom_gateway.http.shutdown import Shutdown
from darkroom_gateway.jobs.dependencies import Submitter
from darkroom_gateway.openai_images import service
from darkroom_gateway.openai_images.service import CONCURRENT_DELETIONS, DELETION_WAITS_SECONDS, ImageJobs

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
def _without_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "DELETION_WAITS_SECONDS", (0.0,) * len(DELETION_WAITS_SECONDS))


@pytest.fixture
def job() -> Job:
    return read_job(job_document(1))


def image_jobs(sweeper: Any, shutdown: Shutdown | None = None) -> ImageJobs:
    unused: Any = None
    return ImageJobs(unused, unused, sweeper, unused, shutdown or Shutdown(), {}, 1)


async def test_job_is_deleted_once_the_api_server_answers(job: Job) -> None:
    sweeper = Sweeper(failures=len(DELETION_WAITS_SECONDS))

    await image_jobs(sweeper).abandon(job, NOBODY)

    assert sweeper.deleted == 1


async def test_hundreds_of_disconnects_delete_a_few_jobs_at_once(job: Job) -> None:
    sweeper = Sweeper()
    jobs = image_jobs(sweeper)

    await asyncio.gather(*(jobs.abandon(job, NOBODY) for _ in range(200)))

    assert (sweeper.deleted, sweeper.most_at_once) == (200, CONCURRENT_DELETIONS)


async def test_gateway_that_stops_does_not_wait_for_the_api_server(job: Job) -> None:
    sweeper, shutdown = Sweeper(failures=1), Shutdown()
    shutdown.streams_end.set()

    await image_jobs(sweeper, shutdown).abandon(job, NOBODY)

    assert sweeper.deleted == 0
