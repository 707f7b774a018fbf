"""The recorder of Events posts while the reconcile is idle, and `Queued` Events last and at a lower rate."""

import asyncio
import logging
from dataclasses import replace

import pytest
from support.event_stage import JOB, QUOTA, Stage, admitted, settle

from darkroom_contract.event_reasons import EventReason
from darkroom_operator.reconcile.activity import Activity
from darkroom_operator.telemetry import event_recorder
from darkroom_operator.telemetry.job_events import JobEvent


@pytest.fixture
def stage(caplog: pytest.LogCaptureFixture) -> Stage:
    caplog.set_level(logging.WARNING, event_recorder.__name__)  # Simulated operators silence their loggers.
    return Stage()


def record_new_jobs(stage: Stage, count: int) -> None:
    for number in range(count):
        job = replace(JOB, uid=f"uid-{number}", name=f"job-{number}")
        stage.record(JobEvent(EventReason.QUEUED, f"Position {number} in the queue."), job)


class TestReconcileFirst:
    async def test_no_event_is_posted_during_a_pass(self, stage: Stage) -> None:
        activity = Activity(pause_seconds=0)
        async with stage.posting(activity) as events:
            with activity.in_pass():
                stage.record(admitted())
                await settle()
                assert events.requests == []
            await events.wait_for(1)

    async def test_no_event_is_posted_between_two_actions_for_a_slot(self, stage: Stage) -> None:
        activity = Activity(pause_seconds=60)
        activity.record_slot_action()
        async with stage.posting(activity) as events:
            stage.record(admitted())
            await settle()
            assert events.requests == []

    async def test_each_event_waits_for_the_end_of_the_pass(self, stage: Stage) -> None:
        activity = Activity(pause_seconds=0)
        async with stage.posting(activity) as events:
            stage.record(admitted(1))
            await events.wait_for(1)
            with activity.in_pass():
                stage.record(admitted(2))
                await settle()
                assert len(events.requests) == 1
            await events.wait_for(2)

    async def test_passes_without_a_pause_delay_an_event_only_up_to_a_maximum(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(event_recorder, "MAX_DELAY_SECONDS", 0.05)
        activity = Activity()
        async with stage.posting(activity) as events:
            with activity.in_pass():
                stage.record(admitted(1))
                stage.record(admitted(2))
                await events.wait_for(2)

    async def test_an_event_of_a_run_that_is_recorded_during_the_wait_is_posted_first(self, stage: Stage) -> None:
        activity = Activity(pause_seconds=0)
        async with stage.posting(activity) as events:
            with activity.in_pass():
                record_new_jobs(stage, 1)
                await settle()
                stage.record(admitted())
            await events.wait_for(2)
        assert [event["reason"] for event in events.objects.values()] == ["Admitted", "Queued"]


class TestNewJobs:
    async def test_queued_events_have_a_rate_of_their_own(self, stage: Stage) -> None:
        record_new_jobs(stage, event_recorder.QUEUED_BURST + 10)
        async with stage.posting() as events:
            await events.wait_for(event_recorder.QUEUED_BURST)
            assert len(events.requests) == event_recorder.QUEUED_BURST
            stage.record(admitted())
            await events.wait_for(event_recorder.QUEUED_BURST + 1)
            stage.clock.now += 1 / event_recorder.QUEUED_PER_SECOND
            stage.record(admitted(2))
            await events.wait_for(event_recorder.QUEUED_BURST + 3)
        reasons = [event["reason"] for event in events.objects.values()]
        assert reasons == [*["Queued"] * event_recorder.QUEUED_BURST, "Admitted", "Admitted", "Queued"]

    async def test_updates_of_posted_events_come_before_new_jobs(self, stage: Stage) -> None:
        async with stage.posting() as events:
            for _ in range(2):
                stage.record(QUOTA)
                await settle()
            stage.record(QUOTA)
            record_new_jobs(stage, event_recorder.QUEUED_BURST + 1)
            await events.wait_for(2 + event_recorder.QUEUED_BURST)
            stage.clock.now += event_recorder.SERIES_SECONDS
            stage.record(admitted())
            await events.wait_for(5 + event_recorder.QUEUED_BURST)
        verbs = [verb for verb, _ in events.requests]
        assert (verbs.count("patch"), verbs[-3:].count("patch"), verbs[-1]) == (2, 1, "create")


async def test_an_idle_reconcile_is_not_waited_for() -> None:
    async with asyncio.timeout(60):
        await Activity(pause_seconds=0).wait_until_idle(3600)


async def test_a_pause_begins_with_the_last_action_for_a_slot() -> None:
    now = 100.0
    activity = Activity(lambda: now, pause_seconds=0.2)
    activity.record_slot_action()
    waiting = asyncio.create_task(activity.wait_until_idle(3600))
    await settle()
    assert not waiting.done()
    now += 1
    await asyncio.wait_for(waiting, 60)
