"""Retries of one delivery, until it is given up."""

from dataclasses import replace
from datetime import timedelta

import pytest
from support.operator_snapshots import NOW, a_job, in_phase

from darkroom_contract.specs.webhook_event import WebhookEvent
from darkroom_contract.status import Phase
from darkroom_contract.webhooks import MAX_JITTER, RETRY_WAITS_SECONDS, Delivery, DeliveryState, write_record
from darkroom_gateway.webhooks.receiver import Outcome
from darkroom_gateway.webhooks.schedule import after_attempt, due_times

REFUSED = Outcome(is_delivered=False, detail="It answered 500.")
JOB = in_phase(a_job("job", webhook="https://example.com/"), Phase.SUCCEEDED, completion_time=NOW)


@pytest.mark.parametrize("jitter", [0.0, 1.0])
def test_waits_grow_until_the_delivery_is_given_up_after_a_day(jitter: float) -> None:
    delivery: Delivery | None = None
    waits = []
    while (delivery := after_attempt(delivery, REFUSED, NOW, jitter)).state is DeliveryState.RETRYING:
        assert delivery.next_attempt_time is not None
        waits.append((delivery.next_attempt_time - NOW).total_seconds())

    assert waits == [pytest.approx(wait * (1 + jitter * MAX_JITTER)) for wait in RETRY_WAITS_SECONDS]
    assert waits == sorted(waits)
    assert 23 * 3600 < sum(waits) < 27 * 3600
    assert (delivery.state, delivery.attempts, delivery.detail) == (DeliveryState.GIVEN_UP, 9, "It answered 500.")


def test_receiver_that_is_gone_gets_no_retry() -> None:
    delivery = after_attempt(None, replace(REFUSED, is_final=True), NOW, 0)
    assert (delivery.state, delivery.attempts, delivery.next_attempt_time) == (DeliveryState.GIVEN_UP, 1, None)


def test_receiver_may_ask_for_a_longer_wait_but_not_for_a_shorter_one() -> None:
    asked = replace(REFUSED, retry_after_seconds=60)
    first = after_attempt(None, asked, NOW, 0)
    assert first.next_attempt_time == NOW + timedelta(seconds=60)
    third = after_attempt(replace_attempts(first, 2), asked, NOW, 0)
    assert third.next_attempt_time == NOW + timedelta(seconds=RETRY_WAITS_SECONDS[2])


def replace_attempts(delivery: Delivery, attempts: int) -> Delivery:
    return delivery.model_copy(update={"attempts": attempts})


def test_first_attempt_is_due_at_once_and_the_next_one_when_it_is_recorded() -> None:
    assert due_times(JOB, NOW) == {WebhookEvent.SUCCEEDED: NOW}
    retrying = after_attempt(None, REFUSED, NOW, 0)
    job = replace(JOB, webhook_record=write_record({WebhookEvent.SUCCEEDED: retrying}))
    assert due_times(job, NOW + timedelta(days=9)) == {WebhookEvent.SUCCEEDED: NOW + timedelta(seconds=5)}
