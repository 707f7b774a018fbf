"""What the recorder of Events does when it is refused: it logs once, retries what may pass, and never fails."""

import logging
from typing import Any

import pytest
from support.event_stage import JOB, QUOTA, Stage, admitted, settle
from support.operator_snapshots import NOW, a_job

from darkroom_operator.errors import ApiError, UnreachableError
from darkroom_operator.telemetry import event_recorder
from darkroom_operator.telemetry.job_events import JobEvent, event_document

UNREACHABLE = UnreachableError("POST events", "no route")
FORBIDDEN = ApiError("POST events", 403, "Forbidden", "events is forbidden")


@pytest.fixture
def stage(caplog: pytest.LogCaptureFixture) -> Stage:
    caplog.set_level(logging.WARNING, event_recorder.__name__)  # Simulated operators silence their loggers.
    return Stage()


async def test_without_rights_it_is_logged_once_and_the_task_continues(
    stage: Stage, caplog: pytest.LogCaptureFixture
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


async def test_without_rights_it_asks_once_a_minute(stage: Stage) -> None:
    stage.events.error = FORBIDDEN
    async with stage.posting() as events:
        for number in range(20):
            stage.record(admitted(number))
            await settle()
        assert len(events.requests) == 1
    assert len(stage.recorder.waiting) == 19


async def test_an_unreachable_api_server_is_tried_again_with_the_same_event_first(stage: Stage) -> None:
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


async def test_an_event_is_given_up_after_many_tries(stage: Stage) -> None:
    stage.events.error = UNREACHABLE
    async with stage.posting() as events:
        stage.record(admitted())
        for tries in range(1, event_recorder.MAX_TRIES + 1):
            await events.wait_for(tries)
            stage.clock.now += event_recorder.RETRY_SECONDS
            stage.recorder._recorded.set()
    assert stage.recorder.waiting == ()
    assert stage.counted("refused") == 1


async def test_an_event_that_the_api_server_rejects_is_dropped(stage: Stage) -> None:
    stage.events.error = ApiError("POST events", 422, "Invalid", "note is too long")
    async with stage.posting() as events:
        stage.record(admitted(1))
        await events.wait_for(1)
        events.error = None
        stage.record(admitted(2))
        await events.wait_for(2)
    assert [event["note"] for event in events.objects.values()] == ["Run 2 holds slot 0."]


async def test_an_invalid_response_does_not_stop_the_recorder(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    document = event_document(JOB, QUOTA, NOW)
    stage.events.objects[document["metadata"]["name"]] = document | {"series": {"count": "many"}}
    async with stage.posting() as events:
        stage.record(QUOTA)
        await events.wait_for(2)
        stage.record(admitted())
        await events.wait_for(3)
    assert "could not post the Event" in caplog.text


def test_a_change_that_cannot_be_read_fails_no_reconcile(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> list[JobEvent]:
        raise KeyError("x")

    monkeypatch.setattr(event_recorder, "events_of_change", fail)
    job = a_job()
    stage.recorder.record_change(job, job.status, "2", NOW)
    assert "could not derive the Events of GenerateJob/a" in caplog.text


def test_an_event_that_can_not_be_encoded_is_logged_and_raises_nothing(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.record(JobEvent("PodRefused", "half a character: \ud83d"))
    assert stage.recorder.waiting == ()
    assert "could not record the Event PodRefused" in caplog.text
