"""Which events of a job are outstanding, by its spec, its status and the record of its deliveries."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from support.operator_snapshots import NOW, a_job, in_phase

from darkroom_contract.jobs import Job
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.webhook_event import WebhookEvent
from darkroom_contract.status import Phase
from darkroom_contract.webhooks import (
    MAX_JITTER,
    MAX_POSTPONEMENT,
    RETRY_WAITS_SECONDS,
    Delivery,
    DeliveryState,
    may_report,
    outstanding,
    read_record,
    write_record,
)

URL = "https://example.com/hook"
STARTED, SUCCEEDED, FAILED, DELETED = WebhookEvent


def a_reporting_job(phase: Phase = Phase.QUEUED, *, deleting: bool = False, **spec: Any) -> Job:
    started = {} if phase is Phase.QUEUED else {"start_time": NOW}
    return in_phase(a_job("job", deleting=deleting, **{"webhook": URL, **spec}), phase, **started)


def recorded(job: Job, event: WebhookEvent, state: DeliveryState) -> Job:
    delivery = Delivery(state=state, attempts=1, last_attempt_time=NOW)
    return replace(job, webhook_record=write_record({**read_record(job), event: delivery}))


@pytest.mark.parametrize(
    ("job", "events"),
    [
        (a_reporting_job(Phase.SUCCEEDED, webhook=None), []),
        (a_reporting_job(), []),
        (a_reporting_job(Phase.RUNNING), []),
        (a_reporting_job(Phase.SUCCEEDED), [SUCCEEDED]),
        (a_reporting_job(Phase.FAILED), [FAILED]),
        (a_reporting_job(Phase.RUNNING, deleting=True), [DELETED]),
        (a_reporting_job(Phase.SUCCEEDED, deleting=True), [SUCCEEDED]),
        (a_reporting_job(Phase.RUNNING, webhook_events=("Started",)), [STARTED]),
        (a_reporting_job(Phase.SUCCEEDED, webhook_events=("Succeeded", "Started")), [STARTED, SUCCEEDED]),
        (a_reporting_job(Phase.FAILED, webhook_events=("Started", "Succeeded")), [STARTED]),
    ],
)
def test_events_that_happened_and_are_wanted_are_outstanding(job: Job, events: list[WebhookEvent]) -> None:
    assert outstanding(job) == events


@pytest.mark.parametrize(
    ("state", "is_outstanding"),
    [(DeliveryState.RETRYING, True), (DeliveryState.DELIVERED, False), (DeliveryState.GIVEN_UP, False)],
)
def test_delivered_events_and_those_given_up_are_settled(state: DeliveryState, is_outstanding: bool) -> None:
    job = recorded(a_reporting_job(Phase.SUCCEEDED), SUCCEEDED, state)
    assert bool(outstanding(job)) is may_report(job) is is_outstanding


def test_one_record_holds_the_deliveries_of_all_events() -> None:
    job = a_reporting_job(Phase.SUCCEEDED, webhook_events=tuple(WebhookEvent))
    job = recorded(job, STARTED, DeliveryState.DELIVERED)
    assert outstanding(job) == [SUCCEEDED]
    job = recorded(job, SUCCEEDED, DeliveryState.GIVEN_UP)
    assert {event: each.state for event, each in read_record(job).items()} == {
        STARTED: DeliveryState.DELIVERED,
        SUCCEEDED: DeliveryState.GIVEN_UP,
    }


NAIVE = '{"Succeeded": {"state": "Delivered", "attempts": 1, "lastAttemptTime": "2026-01-02T03:04:05"}}'
"""A time without a zone can't be compared with the present."""


@pytest.mark.parametrize(
    "text", ["", "no JSON", "[]", '{"Succeeded": {"state": "Delivered"}}', '{"Burned": {}}', NAIVE]
)
def test_an_unreadable_record_counts_as_none(text: str) -> None:
    assert outstanding(replace(a_reporting_job(Phase.SUCCEEDED), webhook_record=text)) == [SUCCEEDED]


def test_an_unfinished_job_may_report_later() -> None:
    assert may_report(a_reporting_job())
    assert not may_report(a_reporting_job(webhook=None))
    assert not may_report(a_reporting_job(Phase.FAILED, webhook_events=("Succeeded",)))


def test_all_attempts_fit_into_the_postponement_of_the_deletion() -> None:
    longest = timedelta(seconds=sum(RETRY_WAITS_SECONDS) * (1 + MAX_JITTER))
    assert timedelta(hours=23) < longest < MAX_POSTPONEMENT - timedelta(minutes=30)


@pytest.mark.parametrize(
    "address",
    ["ftp://x.example/", "https://user@x.example/", "https://u:p@x.example/", "example.com", "https:///a", "x" * 2000],
)
def test_an_address_that_is_not_http_or_has_a_user_is_invalid(address: str) -> None:
    with pytest.raises(ValidationError):
        GenerateJobSpec(prompt="a", webhook=address)
