"""Webhooks of jobs that kubectl created, on a real API server: delivered, repeated, given up, and kept apart."""

import threading
from pathlib import Path

import pytest
from standardwebhooks import Webhook
from support.isolated_namespace import IsolatedNamespace
from support.webhook_receiver import SECRET, Received, receiving
from support.webhook_stage import eventually, webhook_stage

from darkroom_gateway.settings import WebhookAddresses
from darkroom_gateway.v1.schemas import V1Job
from darkroom_gateway.webhooks import schedule, sender


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "RETRY_WAITS_SECONDS", (0.1, 0.1, 0.1))
    monkeypatch.setattr(sender, "ROUND_SECONDS", 0.05)


async def test_every_event_is_delivered_once_with_the_job(isolated: IsolatedNamespace, tmp_path: Path) -> None:
    with receiving() as receiver:
        async with webhook_stage(isolated, tmp_path) as stage:
            uid = stage.create("job", receiver.url, webhookEvents=["Started", "Succeeded"])
            stage.finish("job")
            await eventually(lambda: stage.record("job").count("Delivered") == 2, "both events are recorded")
            assert stage.metric('darkroom_webhook_attempts_total{state="Delivered"}') == 2

    messages = {each.id: Webhook(SECRET).verify(each.body, dict(each.headers)) for each in receiver.received}
    ids = [f"msg_{uid.replace('-', '')}_{event}" for event in ("started", "succeeded")]
    assert sorted(messages) == ids
    assert [messages[each]["type"] for each in ids] == ["job.started", "job.succeeded"]
    for message in messages.values():
        assert message["timestamp"] == "2026-01-02T03:04:05Z"
        assert V1Job.model_validate(message["data"]).id == "job"
        assert message["data"].keys() == V1Job.model_fields.keys()


async def test_job_without_a_wanted_event_reports_nothing(isolated: IsolatedNamespace, tmp_path: Path) -> None:
    with receiving() as receiver:
        async with webhook_stage(isolated, tmp_path) as stage:
            stage.create("quiet", receiver.url, webhookEvents=["Succeeded"])
            stage.create("job", receiver.url)
            stage.finish("quiet", "Failed")
            stage.finish("job", "Failed")
            await eventually(lambda: "Delivered" in stage.record("job"), "the failure is recorded")

    assert [each.message["data"]["id"] for each in receiver.received] == ["job"]


async def test_restarted_gateway_sends_what_is_outstanding_and_nothing_twice(
    isolated: IsolatedNamespace, tmp_path: Path
) -> None:
    with receiving() as receiver:
        async with webhook_stage(isolated, tmp_path) as stage:
            stage.create("first", receiver.url)
            stage.create("second", receiver.url)
            stage.finish("first")
            await eventually(lambda: "Delivered" in stage.record("first"), "the first job is reported")
        stage.finish("second")
        async with webhook_stage(isolated, tmp_path) as stage:
            await eventually(lambda: "Delivered" in stage.record("second"), "the second job is reported")

    assert [each.message["data"]["id"] for each in receiver.received] == ["first", "second"]


async def test_receiver_that_fails_at_first_gets_the_same_message_again(
    isolated: IsolatedNamespace, tmp_path: Path
) -> None:
    statuses = [503, 500]
    with receiving(lambda _: statuses.pop() if statuses else 204) as receiver:
        async with webhook_stage(isolated, tmp_path) as stage:
            stage.create("job", receiver.url)
            stage.finish("job")
            await eventually(lambda: "Delivered" in stage.record("job"), "the third attempt is recorded")
            assert stage.metric('darkroom_webhook_attempts_total{state="Retrying"}') == 2

    assert len(receiver.received) == 3
    assert len({each.id for each in receiver.received}) == 1


@pytest.mark.parametrize(("status", "attempts"), [(410, 1), (500, 4)])
async def test_delivery_that_is_given_up_is_an_event_of_the_job(
    isolated: IsolatedNamespace, tmp_path: Path, status: int, attempts: int
) -> None:
    with receiving(lambda _: status) as receiver:
        async with webhook_stage(isolated, tmp_path) as stage:
            uid = stage.create("job", receiver.url)
            stage.finish("job")
            [event] = await eventually(stage.events, "an Event is posted")
            assert "GivenUp" in stage.record("job")
            assert stage.metric("darkroom_webhooks_pending") == 0

    assert (event["type"], event["reason"], event["regarding"]["uid"]) == ("Warning", "WebhookFailed", uid)
    assert event["note"] == f"The webhook did not get Succeeded: It answered {status}."
    assert len(receiver.received) == attempts


async def test_slow_receiver_does_not_delay_another(isolated: IsolatedNamespace, tmp_path: Path) -> None:
    """All jobs of the slow one together take longer than the test."""
    done = threading.Event()

    def wait(_: Received) -> int:
        done.wait(120)
        return 204

    with receiving(wait) as slow, receiving(host="127.0.0.2") as quick:
        async with webhook_stage(isolated, tmp_path, seconds=60) as stage:
            for number in range(sender.MAX_ATTEMPTS_OF_HOST + 2):
                stage.create(f"slow-{number}", slow.url)
                stage.finish(f"slow-{number}")
            await eventually(lambda: len(slow.received) == sender.MAX_ATTEMPTS_OF_HOST, "the slow one is busy")
            stage.create("quick", quick.url)
            stage.finish("quick")
            await eventually(lambda: quick.received, "the quick one is served")
            assert len(slow.received) == sender.MAX_ATTEMPTS_OF_HOST
            done.set()


async def test_private_address_is_refused_and_tried_again(isolated: IsolatedNamespace, tmp_path: Path) -> None:
    with receiving() as receiver:
        async with webhook_stage(isolated, tmp_path, WebhookAddresses.PUBLIC) as stage:
            stage.create("job", receiver.url.replace("http:", "https:"))
            stage.finish("job")
            await eventually(lambda: "not a public address" in stage.record("job"), "the refusal is recorded")

    assert receiver.received == []


async def test_deletion_of_an_unfinished_job_is_reported(isolated: IsolatedNamespace, tmp_path: Path) -> None:
    with receiving() as receiver:
        async with webhook_stage(isolated, tmp_path) as stage:
            stage.create("job", receiver.url)
            await eventually(lambda: stage.is_watched("job"), "the job is known")
            stage.delete("job")
            await eventually(lambda: receiver.received, "the deletion is reported")

    [message] = [each.message for each in receiver.received]
    assert (message["type"], message["data"]["id"], message["data"]["deleting"]) == ("job.deleted", "job", True)


async def test_job_that_is_deleted_with_an_undelivered_event_is_reported_from_memory(
    isolated: IsolatedNamespace, tmp_path: Path
) -> None:
    statuses: list[int] = [503]

    with receiving(lambda _: statuses[0]) as receiver:
        async with webhook_stage(isolated, tmp_path) as stage:
            stage.create("job", receiver.url)
            stage.finish("job")
            await eventually(lambda: "Retrying" in stage.record("job"), "the first attempt is recorded")
            stage.delete("job")
            statuses[0] = 204
            await eventually(lambda: stage.metric("darkroom_webhooks_pending") == 0, "the event is settled")
            assert stage.metric('darkroom_webhook_attempts_total{state="Delivered"}') == 1

    assert set(receiver.types) == {"job.succeeded"}


async def test_of_two_gateways_only_one_sends(isolated: IsolatedNamespace, tmp_path: Path) -> None:
    with receiving() as receiver:
        async with webhook_stage(isolated, tmp_path) as first, webhook_stage(isolated, tmp_path) as second:
            for number in range(5):
                first.create(f"job-{number}", receiver.url, webhookEvents=["Deleted", "Succeeded"])
            first.create("deleted", receiver.url)
            for number in range(5):
                first.finish(f"job-{number}")
            await eventually(lambda: second.is_watched("deleted"), "the second gateway knows the job")
            first.delete("deleted")
            await eventually(lambda: len(receiver.received) >= 6, "all jobs are reported")
            await eventually(lambda: "Delivered" in first.record("job-4"), "the last one is recorded")
            sent = [each.metric('darkroom_webhook_attempts_total{state="Delivered"}') for each in (first, second)]

    assert sorted(sent) == [0, 6]
    assert len({each.id for each in receiver.received}) == len(receiver.received) == 6
