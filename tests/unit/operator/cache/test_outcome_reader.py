"""Signed outcomes from a real Redis: which are accepted, and that they are waited for."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from support.operator_snapshots import a_job, a_pod, failure, success
from support.valkey import Valkey, wait_until

from darkroom_contract.handover import STREAM_FIELD, SignedOutcome, outcome_stream
from darkroom_contract.jobs import Job
from darkroom_contract.outcome import Outcome, OutcomeFile, Reason
from darkroom_operator.cache.cache import Cache
from darkroom_operator.cache.outcome_reader import OutcomeReader, accepted_outcome
from darkroom_operator.scheduling.slot import Slot

KEY, OTHER_KEY = "0f" * 32, "f0" * 32
JOB, NEXT = a_job("a"), a_job("b")
POD = replace(a_pod(JOB), outcome_key=KEY)


def signed(job: Job = JOB, outcome: Outcome | None = None, key: str = KEY) -> str:
    return SignedOutcome.sign(job.uid, 1, outcome or success(job), key).to_json()


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    with Valkey(tmp_path) as server:
        yield server


class Reading:
    """A cache with one running job, and a reader that fills it."""

    def __init__(self, url: str) -> None:
        self.cache, self.changed = Cache(), asyncio.Event()
        self.reader = OutcomeReader(url, self.cache, self.changed.set)
        self.hold(JOB, "1")
        self.cache.pods.put(POD.uid, POD)

    def hold(self, job: Job, version: str) -> None:
        slot = Slot(0, "lease", version, holder=job.uid, holder_key=job.key, pod_uid=POD.uid)
        self.cache.leases.put("lease", slot)

    async def outcome(self) -> SignedOutcome:
        await asyncio.wait_for(self.changed.wait(), 30)
        self.changed.clear()
        return self.cache.outcomes[POD.uid]


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[Reading]:
    found = Reading(url)
    task = asyncio.create_task(found.reader.run())
    try:
        yield found
    finally:
        task.cancel()
        await asyncio.wait([task])


def publish(valkey: Valkey, text: str | bytes, job: Job = JOB) -> None:
    valkey.client.xadd(outcome_stream(job.uid), {STREAM_FIELD: text})


@pytest.mark.parametrize("query", ["", "?protocol=2", "?protocol=3", "?legacy_responses=false"])
async def test_outcome_is_read_from_every_form_of_response(valkey: Valkey, query: str) -> None:
    publish(valkey, signed())
    async with reading(valkey.url + query) as found:
        assert (await found.outcome()).outcome == success(JOB)


async def test_outcome_is_waited_for(valkey: Valkey) -> None:
    async with reading(valkey.url) as found:
        await asyncio.to_thread(wait_for_calls, valkey)
        publish(valkey, signed())
        assert (await found.outcome()).job_uid == JOB.uid


def wait_for_calls(valkey: Valkey) -> None:
    """The reader reads the stream."""
    wait_until(lambda: valkey.calls("xread") > 0, "the reader reads")


async def test_outcome_of_the_next_job_in_the_same_pod_follows(valkey: Valkey) -> None:
    async with reading(valkey.url) as found:
        publish(valkey, signed())
        await found.outcome()
        found.hold(NEXT, "2")
        publish(valkey, signed(NEXT), NEXT)
        assert (await found.outcome()).job_uid == NEXT.uid


async def test_rubbish_and_forgeries_before_the_outcome_are_ignored_with_one_warning(
    valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "darkroom_operator")
    for text in (b"\xff\xfe", "{}", signed(key=OTHER_KEY), signed(NEXT)):
        publish(valkey, text)
    valkey.client.xadd(outcome_stream(JOB.uid), {"another field": "x"})
    publish(valkey, signed())
    async with reading(valkey.url) as found:
        assert (await found.outcome()).outcome == success(JOB)
    assert caplog.text.count("ignoring an outcome") == 1


async def test_redis_that_comes_back_is_read_again(valkey: Valkey) -> None:
    async with reading(valkey.url) as found:
        await asyncio.to_thread(wait_for_calls, valkey)
        valkey.stop()
        valkey.start()
        publish(valkey, signed())
        assert (await found.outcome()).job_uid == JOB.uid


async def test_outcome_is_forgotten_with_its_run(valkey: Valkey) -> None:
    async with reading(valkey.url) as found:
        publish(valkey, signed())
        await found.outcome()
        found.cache.leases.put("lease", Slot(0, "lease", "2", idle_pod_uid=POD.uid))
        await asyncio.to_thread(wait_until, lambda: not found.cache.outcomes, "the outcome is forgotten")


TOO_MANY = tuple(OutcomeFile(name=f"{n}.png", content_type="image/png", bytes=1, sha256="0" * 64) for n in range(65))


@pytest.mark.parametrize(
    "text",
    [
        signed(key=OTHER_KEY),
        signed(NEXT),
        signed(outcome=failure(Reason.OUT_OF_MEMORY)),
        signed(outcome=Outcome(succeeded=True, files=TOO_MANY)),
        signed().replace('"idle": true', '"idle": false'),
    ],
    ids=["another key", "another job", "a failure", "too large for a status", "changed"],
)
def test_other_outcomes_are_not_accepted(text: str) -> None:
    assert accepted_outcome(text, POD, JOB.uid) is None


@pytest.mark.parametrize("key", ["", "0f", "x" * 64])
def test_pod_with_an_invalid_key_reports_nothing(key: str) -> None:
    assert accepted_outcome(signed(), replace(POD, outcome_key=key), JOB.uid) is None
