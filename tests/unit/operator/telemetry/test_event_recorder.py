"""The recorder of Events: bounded, aggregated and rate-limited."""

import logging
from dataclasses import replace
from datetime import timedelta

import pytest
from support.event_stage import JOB, QUOTA, Stage, admitted, settle
from support.operator_snapshots import NOW

from darkroom_contract.event_reasons import EventReason
from darkroom_operator.errors import UnreachableError
from darkroom_operator.telemetry import event_recorder
from darkroom_operator.telemetry.event_recorder import EventRecorder
from darkroom_operator.telemetry.job_events import JobEvent, event_document


@pytest.fixture
def stage(caplog: pytest.LogCaptureFixture) -> Stage:
    caplog.set_level(logging.WARNING, event_recorder.__name__)  # Simulated operators silence their loggers.
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
        recorder._waiting.drop_oldest()
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
            stage.record(QUOTA)
            await events.wait_for(3)
        assert [verb for verb, _ in events.requests] == ["create", "patch", "patch"]
        [event] = events.objects.values()
        assert event["series"]["count"] == 42

    async def test_a_lost_answer_counts_nothing_twice(self, stage: Stage) -> None:
        document = event_document(JOB, QUOTA, NOW)
        stage.events.error = UnreachableError("POST events", "no answer")
        async with stage.posting() as events:
            stage.record(QUOTA)
            await events.wait_for(1)
            events.objects[document["metadata"]["name"]] = document
            events.error = None
            stage.clock.now += event_recorder.RETRY_SECONDS
            stage.recorder._recorded.set()
            await events.wait_for(3)
        assert [verb for verb, _ in events.requests] == ["create", "create", "patch"]
        assert "series" not in events.objects[document["metadata"]["name"]]


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

    def test_new_jobs_drop_no_event_of_a_run(self, stage: Stage) -> None:
        stage.record(admitted())
        for number in range(event_recorder.MAX_WAITING + 5):
            job = replace(JOB, uid=f"uid-{number}", name=f"job-{number}")
            stage.record(JobEvent(EventReason.QUEUED, f"Position {number} in the queue."), job)
        waiting = stage.recorder.waiting
        assert [event["regarding"]["name"] for event in waiting[:2]] == [JOB.name, "job-6"]
        assert len(waiting) == event_recorder.MAX_WAITING

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

    async def test_new_jobs_delay_no_event_of_a_run(self, stage: Stage) -> None:
        for number in range(20):
            job = replace(JOB, uid=f"uid-{number}", name=f"job-{number}")
            stage.record(JobEvent(EventReason.QUEUED, f"Number {number} in the queue."), job)
        stage.record(admitted())
        async with stage.posting() as events:
            await events.wait_for(21)
        assert [event["reason"] for event in events.objects.values()] == ["Admitted", *["Queued"] * 20]

    async def test_requests_in_all_are_a_burst_and_then_a_steady_rate(self, stage: Stage) -> None:
        for number in range(event_recorder.BURST + 10):
            stage.record(admitted(), replace(JOB, uid=f"uid-{number}", name=f"job-{number}"))
        async with stage.posting() as events:
            await events.wait_for(event_recorder.BURST)
            assert len(events.requests) == event_recorder.BURST


async def test_an_event_is_posted_after_the_requests_of_a_hand_over(stage: Stage) -> None:
    stage.recorder = EventRecorder(stage.metrics, stage.clock)
    async with stage.posting() as events:
        stage.record(admitted(1))
        await settle()
        assert events.requests == []
        stage.clock.now += event_recorder.DELAY_SECONDS
        stage.record(admitted(2))
        await events.wait_for(1)
    assert [event["note"] for event in events.objects.values()] == ["Run 1 holds slot 0."]
