"""`Prefer: wait`: the header, and waits that end with the job, its deletion, their time or the gateway."""

import asyncio
import threading

import pytest
from support.job_documents import job_document

from darkroom_contract.names import Kind
from darkroom_gateway.http.shutdown import Shutdown
from darkroom_gateway.jobs.store import JobStore
from darkroom_gateway.v1.waiting import JobWaits, wait_seconds

FAR_SECONDS = 60.0


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (None, None),
        ("", None),
        ("wait=5", 5),
        ("respond-async, WAIT = 7", 7),
        ('wait="3"; x=y', 3),
        ("wait=900", 60),
        ("wait=0", 0),
        ("wait=1, wait=2", 1),
        ("wait=-1", None),
        ("wait=soon", None),
    ],
)
def test_preference_is_read(prefer: str | None, seconds: int | None) -> None:
    assert wait_seconds(prefer) == seconds


def waits_of(store: JobStore, shutdown: Shutdown | None = None) -> JobWaits:
    store.put(job_document(0, "a dog"))
    return JobWaits(store, shutdown or Shutdown())


def begin(waits: JobWaits, seconds: float = FAR_SECONDS) -> "asyncio.Task[None]":
    return asyncio.create_task(waits.until_ended(Kind.GENERATE, "job-0", "uid-0", seconds))


async def is_waiting(task: "asyncio.Task[None]") -> bool:
    done, _ = await asyncio.wait({task}, timeout=0.05)
    return not done


async def test_wait_ends_with_the_job() -> None:
    store = JobStore()
    waits = waits_of(store)
    task = begin(waits)
    store.put(job_document(0, "a dog", version=2, phase="Running"))
    assert await is_waiting(task)

    thread = threading.Thread(target=store.put, args=(job_document(0, "a dog", version=3, phase="Failed"),))
    thread.start()

    await asyncio.wait_for(task, FAR_SECONDS / 2)
    thread.join()
    assert waits.count == 0


async def test_wait_for_a_job_that_has_ended_is_over_at_once() -> None:
    store = JobStore()
    waits = waits_of(store)
    store.put(job_document(0, "a dog", version=2, phase="Succeeded"))

    await asyncio.wait_for(begin(waits), FAR_SECONDS / 2)


async def test_wait_ends_with_the_deletion_of_the_job() -> None:
    store = JobStore()
    task = begin(waits_of(store))
    assert await is_waiting(task)

    store.remove(Kind.GENERATE, "job-0", "uid-0")

    await asyncio.wait_for(task, FAR_SECONDS / 2)


async def test_wait_ends_after_its_time() -> None:
    await asyncio.wait_for(begin(waits_of(JobStore()), 0.01), FAR_SECONDS / 2)


async def test_wait_ends_when_the_gateway_stops() -> None:
    shutdown = Shutdown()
    task = begin(waits_of(JobStore(), shutdown))
    assert await is_waiting(task)

    shutdown.streams_end.set()

    await asyncio.wait_for(task, FAR_SECONDS / 2)


async def test_cancelled_wait_leaves_nothing_behind() -> None:
    waits = waits_of(JobStore())
    task = begin(waits)
    assert await is_waiting(task)

    task.cancel()

    await asyncio.wait({task})
    assert waits.count == 0
