"""The recorder of Events: bounded, aggregated, rate-limited, and never in the way."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from support.operator_snapshots import NOW, a_job

from darkroom_contract.event_reasons import EventReason
from darkroom_operator.errors import ApiError, UnreachableError, api_error
from darkroom_operator.kube.client import KubeClient
from darkroom_operator.telemetry import event_recorder
from darkroom_operator.telemetry.event_recorder import EventRecorder
from darkroom_operator.telemetry.job_events import JobEvent, JobReference, event_document
from darkroom_operator.telemetry.metrics import Metrics
from darkroom_operator.telemetry.token_bucket import TokenBucket

Json = dict[str, Any]
JOB = JobReference.of(a_job())
QUOTA = JobEvent(EventReason.QUOTA_EXCEEDED, "exceeded quota: used: pods=1")
UNREACHABLE = UnreachableError("POST events", "no route")
FORBIDDEN = ApiError("POST events", 403, "Forbidden", "events is forbidden")


def admitted(number: int = 1) -> JobEvent:
    return JobEvent(EventReason.ADMITTED, f"Run {number} holds slot 0.")


class Events:
    """The events of an API server, which may refuse the next request."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.requests: list[tuple[str, str]] = []
        self.error: ApiError | None = None
        self.answered = asyncio.Event()

    async def create_event(self, event: Json) -> Json:
        name = event["metadata"]["name"]
        self._answer("create", name)
        if name in self.objects:
            raise api_error("POST events", 409, "AlreadyExists", "it exists")
        self.objects[name] = event
        return event

    async def patch_event(self, name: str, patch: Json) -> Json:
        self._answer("patch", name)
        if name not in self.objects:
            raise api_error("PATCH events", 404, "NotFound", "there is none")
        self.objects[name] = self.objects[name] | patch
        return self.objects[name]

    def _answer(self, verb: str, name: str) -> None:
        self.requests.append((verb, name))
        self.answered.set()
        if self.error is not None:
            raise self.error

    async def wait_for(self, requests: int) -> None:
        async with asyncio.timeout(10):
            while len(self.requests) < requests:
                self.answered.clear()
                await self.answered.wait()
        await settle()


async def settle() -> None:
    """Let the recorder's task come to rest."""
    for _ in range(20):
        await asyncio.sleep(0)


class Clock:
    """Monotonic seconds that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Stage:
    def __init__(self) -> None:
        self.events, self.clock, self.metrics = Events(), Clock(), Metrics()
        self.recorder = EventRecorder(self.metrics, self.clock)

    def record(self, event: JobEvent, job: JobReference = JOB, now: datetime = NOW) -> None:
        self.recorder.record(job, event, now)

    @asynccontextmanager
    async def posting(self) -> AsyncIterator[Events]:
        task = asyncio.create_task(self.recorder.run(cast(KubeClient, self.events)))
        try:
            yield self.events
        finally:
            assert not task.done()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def counted(self, result: str) -> float:
        return self.metrics.registry.get_sample_value("darkroom_events_total", {"result": result}) or 0.0


@pytest.fixture
def stage() -> Stage:
    return Stage()


class TestAggregation:
    async def test_events_are_posted_in_order(self, stage: Stage) -> None:
        for number in (1, 2, 3):
            stage.record(admitted(number))
        async with stage.posting() as events:
            await events.wait_for(3)
        assert [event["note"] for event in events.objects.values()] == [f"Run {n} holds slot 0." for n in (1, 2, 3)]
        assert all("series" not in event for event in events.objects.values())

    async def test_repeats_are_one_event_with_a_series(self, stage: Stage) -> None:
        async with stage.posting() as events:
            stage.record(QUOTA)
            await events.wait_for(1)
            stage.record(QUOTA, now=NOW + timedelta(seconds=5))
            await events.wait_for(2)
        [event] = events.objects.values()
        assert event["series"] == {"count": 2, "lastObservedTime": "2026-11-25T12:00:05.000000Z"}

    async def test_further_repeats_are_counted_and_posted_once_a_minute(self, stage: Stage) -> None:
        async with stage.posting() as events:
            for second in range(50):
                stage.record(QUOTA, now=NOW + timedelta(seconds=second))
                await settle()
            assert [verb for verb, _ in events.requests] == ["create", "patch"]
            stage.clock.now += event_recorder.SERIES_SECONDS
            stage.record(QUOTA, now=NOW + timedelta(seconds=60))
            await events.wait_for(3)
        [event] = events.objects.values()
        assert event["series"]["count"] == 51

    async def test_repeats_before_the_first_post_are_in_it(self, stage: Stage) -> None:
        stage.record(QUOTA)
        stage.record(QUOTA)
        async with stage.posting() as events:
            await events.wait_for(1)
        assert [(verb, events.objects[name]["series"]["count"]) for verb, name in events.requests] == [("create", 2)]

    def test_refusals_of_a_quota_are_one_series_whatever_their_counts(self, stage: Stage) -> None:
        stage.record(QUOTA)
        stage.record(replace(QUOTA, note="exceeded quota: used: pods=2"))
        assert len(stage.recorder.waiting) == 1

    def test_a_repeat_after_a_long_pause_is_a_new_event(self, stage: Stage) -> None:
        recorder = stage.recorder
        stage.record(QUOTA)
        recorder._waiting.clear()
        later = NOW + event_recorder.SERIES_ENDS_AFTER + timedelta(seconds=1)
        stage.record(QUOTA, replace(JOB, version="99"), later)
        [event] = recorder.waiting
        assert event["eventTime"] == "2026-11-25T12:06:01.000000Z"
        assert "series" not in event

    async def test_an_event_that_has_expired_is_posted_again_with_its_count(self, stage: Stage) -> None:
        async with stage.posting() as events:
            stage.record(QUOTA)
            await events.wait_for(1)
            events.objects.clear()
            stage.record(QUOTA)
            await events.wait_for(3)
        assert [verb for verb, _ in events.requests] == ["create", "patch", "create"]
        [event] = events.objects.values()
        assert event["series"]["count"] == 2

    async def test_a_restarted_operator_continues_the_series_of_the_one_before(self, stage: Stage) -> None:
        document = event_document(JOB, QUOTA, NOW)
        stage.events.objects[document["metadata"]["name"]] = document | {"series": {"count": 40}}
        async with stage.posting() as events:
            stage.record(QUOTA)
            await events.wait_for(2)
            stage.record(QUOTA)
            await events.wait_for(3)
        [event] = events.objects.values()
        assert event["series"]["count"] == 41


class TestBounds:
    def test_the_oldest_are_dropped_counted_and_logged_once_a_while(
        self, stage: Stage, caplog: pytest.LogCaptureFixture
    ) -> None:
        for number in range(event_recorder.MAX_WAITING + 5):
            stage.record(admitted(), replace(JOB, uid=f"uid-{number}", name=f"job-{number}"))
        waiting = stage.recorder.waiting
        assert (len(waiting), waiting[0]["regarding"]["name"]) == (event_recorder.MAX_WAITING, "job-5")
        assert stage.counted("dropped") == 5
        assert len([record for record in caplog.records if "dropped" in record.message]) == 1

    def test_one_job_posts_a_burst_and_then_one_event_each_five_minutes(self, stage: Stage) -> None:
        for number in range(40):
            stage.record(admitted(number))
        assert len(stage.recorder.waiting) == event_recorder.JOB_BURST
        assert stage.counted("limited") == 40 - event_recorder.JOB_BURST
        stage.clock.now += 301
        stage.record(admitted(50))
        stage.record(admitted(51))
        assert len(stage.recorder.waiting) == event_recorder.JOB_BURST + 1

    def test_the_end_of_a_job_is_posted_whatever_came_before(self, stage: Stage) -> None:
        for number in range(40):
            stage.record(admitted(number))
        stage.record(JobEvent(EventReason.FAILED, "BackoffLimitExceeded: 30 runs failed."))
        assert stage.recorder.waiting[-1]["reason"] == "Failed"

    def test_a_job_does_not_use_up_what_others_may_post(self, stage: Stage) -> None:
        for number in range(40):
            stage.record(admitted(number))
        stage.record(admitted(), replace(JOB, uid="uid-b", name="b"))
        assert stage.recorder.waiting[-1]["regarding"]["name"] == "b"

    def test_memory_is_bounded(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(event_recorder, "MAX_REMEMBERED", 10)
        for number in range(30):
            stage.record(admitted(), replace(JOB, uid=f"uid-{number}"))
        assert len(stage.recorder._series) == len(stage.recorder._jobs) == 10

    async def test_requests_in_all_are_a_burst_and_then_a_steady_rate(self, stage: Stage) -> None:
        for number in range(event_recorder.BURST + 10):
            stage.record(admitted(), replace(JOB, uid=f"uid-{number}", name=f"job-{number}"))
        async with stage.posting() as events:
            await events.wait_for(event_recorder.BURST)
            assert len(events.requests) == event_recorder.BURST


class TestRefusals:
    async def test_without_rights_it_is_logged_once_and_the_task_continues(
        self, stage: Stage, caplog: pytest.LogCaptureFixture
    ) -> None:
        stage.events.error = FORBIDDEN
        async with stage.posting() as events:
            for number in range(3):
                stage.record(admitted(number))
                await settle()
                stage.clock.now += event_recorder.FORBIDDEN_SECONDS
            assert len(events.requests) == 3
            assert [record.levelno for record in caplog.records] == [logging.WARNING]
            events.error = None
            stage.record(admitted(9))
            await events.wait_for(4)
        assert [event["note"] for event in events.objects.values()] == ["Run 9 holds slot 0."]
        assert stage.counted("refused") == 3

    async def test_without_rights_it_asks_once_a_minute(self, stage: Stage) -> None:
        stage.events.error = FORBIDDEN
        async with stage.posting() as events:
            for number in range(20):
                stage.record(admitted(number))
                await settle()
            assert len(events.requests) == 1
        assert len(stage.recorder.waiting) == 19

    async def test_an_unreachable_api_server_is_tried_again_with_the_same_event_first(self, stage: Stage) -> None:
        stage.events.error = UNREACHABLE
        async with stage.posting() as events:
            stage.record(admitted(1))
            await events.wait_for(1)
            stage.record(admitted(2))
            await settle()
            assert len(events.requests) == 1
            events.error = None
            stage.clock.now += event_recorder.RETRY_SECONDS
            stage.record(admitted(3))
            await events.wait_for(4)
        assert [event["note"][:5] for event in events.objects.values()] == ["Run 1", "Run 2", "Run 3"]

    async def test_an_event_is_given_up_after_many_tries(self, stage: Stage) -> None:
        stage.events.error = UNREACHABLE
        async with stage.posting() as events:
            stage.record(admitted())
            for tries in range(1, event_recorder.MAX_TRIES + 1):
                await events.wait_for(tries)
                stage.clock.now += event_recorder.RETRY_SECONDS
                stage.recorder._recorded.set()
        assert stage.recorder.waiting == ()
        assert stage.counted("refused") == 1

    async def test_one_that_is_refused_for_itself_is_dropped(self, stage: Stage) -> None:
        stage.events.error = ApiError("POST events", 422, "Invalid", "note is too long")
        async with stage.posting() as events:
            stage.record(admitted(1))
            await events.wait_for(1)
            events.error = None
            stage.record(admitted(2))
            await events.wait_for(2)
        assert [event["note"] for event in events.objects.values()] == ["Run 2 holds slot 0."]

    async def test_a_defect_in_an_answer_ends_nothing(self, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
        document = event_document(JOB, QUOTA, NOW)
        stage.events.objects[document["metadata"]["name"]] = document | {"series": {"count": "many"}}
        async with stage.posting() as events:
            stage.record(QUOTA)
            await events.wait_for(2)
            stage.record(admitted())
            await events.wait_for(3)
        assert "could not post the Event" in caplog.text

    def test_a_change_that_cannot_be_read_fails_no_reconcile(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*_: Any) -> list[JobEvent]:
            raise KeyError("x")

        monkeypatch.setattr(event_recorder, "events_of_change", fail)
        job = a_job()
        stage.recorder.record_change(job, job.status, "2", NOW)
        assert "could not derive the Events of GenerateJob/a" in caplog.text


class TestTheTokenBucket:
    def test_it_gives_a_burst_and_then_a_steady_rate(self) -> None:
        clock = Clock()
        bucket = TokenBucket(3, 0.5, clock)
        assert [bucket.take() for _ in range(4)] == [True, True, True, False]
        assert bucket.seconds_until_next() == 2.0
        clock.now += 2
        assert (bucket.seconds_until_next(), bucket.take(), bucket.take()) == (0.0, True, False)

    def test_it_never_holds_more_than_the_burst(self) -> None:
        clock: Callable[[], float] = Clock()
        bucket = TokenBucket(2, 10.0, clock)
        cast(Clock, clock).now += 3600
        assert [bucket.take() for _ in range(3)] == [True, True, False]
