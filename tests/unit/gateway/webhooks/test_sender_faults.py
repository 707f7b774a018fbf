"""Jobs, addresses and refusals that must not stop the webhooks of others, on a real API server."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.isolated_namespace import ENDED, IsolatedNamespace
from support.webhook_receiver import receiving
from support.webhook_stage import eventually, webhook_stage

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.specs.webhook_event import WebhookEvent
from darkroom_gateway.errors import RejectedError
from darkroom_gateway.webhooks import outbox, schedule, sender
from darkroom_gateway.webhooks.cluster import WebhookCluster

NAIVE = (
    '{"Succeeded": {"state": "Retrying", "attempts": 1, "lastAttemptTime": "2026-01-02T03:04:05",'
    ' "nextAttemptTime": "2026-01-02T03:04:05"}}'
)
"""A record whose times have no zone."""


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "RETRY_WAITS_SECONDS", (0.1, 0.1, 0.1))
    monkeypatch.setattr(sender, "ROUND_SECONDS", 0.05)


async def test_record_without_time_zones_is_replaced(isolated: IsolatedNamespace, tmp_path: Path) -> None:
    with receiving() as receiver:
        async with webhook_stage(isolated, tmp_path) as stage:
            for name, record in {"naive": NAIVE, "other": None}.items():
                stage.create(name, receiver.url, record)
                stage.finish(name)
            for name in ("naive", "other"):
                await eventually(lambda name=name: "Delivered" in stage.record(name), f"{name} is reported")

    assert {each.message["data"]["id"] for each in receiver.received} == {"naive", "other"}


async def test_unexpected_error_of_one_job_does_not_stop_the_others(
    isolated: IsolatedNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def due_times(job: Job, now: datetime) -> dict[WebhookEvent, datetime]:
        if job.name == "broken":
            raise TypeError
        return schedule.due_times(job, now)

    monkeypatch.setattr(outbox, "due_times", due_times)
    with receiving() as receiver:
        # Both are there before the gateway, so that it takes their changes over in one round.
        for name in ("broken", "other"):
            isolated.api.create(Kind.GENERATE, name, {"prompt": "a dog", "webhook": receiver.url})
            isolated.api.set_status(Kind.GENERATE, name, phase="Succeeded", completionTime=ENDED)
        async with webhook_stage(isolated, tmp_path) as stage:
            await eventually(lambda: "Delivered" in stage.record("other"), "the other job is reported")

    assert [each.message["data"]["id"] for each in receiver.received] == ["other"]
    assert "GenerateJob/broken waits until the job changes" in caplog.text


async def test_address_that_can_not_be_parsed_is_given_up(isolated: IsolatedNamespace, tmp_path: Path) -> None:
    async with webhook_stage(isolated, tmp_path) as stage:
        stage.create("job", "https://example.com:99999/hook")
        stage.finish("job")
        [event] = await eventually(stage.events, "an Event is posted")
        assert "GivenUp" in stage.record("job")

    assert "Use an address that begins with https://" in event["note"]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway may not write records."""

    def refuse(*_: object) -> bool:
        raise RejectedError(403, "The cluster refused to patch the job: no rights")

    monkeypatch.setattr(WebhookCluster, "record", refuse)


@pytest.mark.usefixtures("refused")
async def test_delivery_whose_record_is_refused_is_retried_and_not_repeated(
    isolated: IsolatedNamespace, tmp_path: Path
) -> None:
    statuses = [503]
    with receiving(lambda _: statuses.pop() if statuses else 204) as receiver:
        async with webhook_stage(isolated, tmp_path) as stage:
            stage.create("job", receiver.url)
            stage.finish("job")
            line = 'darkroom_webhook_attempts_total{state="Delivered"}'
            await eventually(lambda: len(receiver.received) == 2 and stage.metric(line) == 1, "it is delivered")
            await eventually(lambda: stage.metric("darkroom_webhooks_pending") == 0, "nothing is pending")

    assert len(receiver.received) == 2


@pytest.mark.usefixtures("refused")
async def test_failure_is_an_event_even_when_its_record_is_refused(isolated: IsolatedNamespace, tmp_path: Path) -> None:
    with receiving(lambda _: 410) as receiver:
        async with webhook_stage(isolated, tmp_path) as stage:
            stage.create("job", receiver.url)
            stage.finish("job")
            [event] = await eventually(stage.events, "an Event is posted")

    assert event["reason"] == "WebhookFailed"


async def test_sender_keeps_its_lease_until_others_have_forgotten_the_deletion(
    isolated: IsolatedNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have the deleted job in memory, and would send its event again."""
    later = timedelta()
    monkeypatch.setattr(sender, "_now", lambda: datetime.now(UTC) + later)
    with receiving() as receiver:
        async with webhook_stage(isolated, tmp_path) as stage:
            stage.create("job", receiver.url)
            await eventually(lambda: stage.is_watched("job"), "the job is known")
            stage.delete("job")
            await eventually(lambda: receiver.received, "the deletion is reported")
            await eventually(lambda: stage.metric("darkroom_webhooks_pending") == 0, "it is settled")
            before = stage.lease().get("renewTime")
            await eventually(lambda: stage.lease().get("renewTime") not in (None, before), "the Lease is renewed")
            later = timedelta(seconds=21)  # Over four terms.
            await eventually(lambda: not stage.lease().get("holderIdentity"), "the Lease is given up")

    assert receiver.types == ["job.deleted"]
