"""When a delivery is attempted again, and when it is given up. Pure."""

from datetime import datetime, timedelta

from darkroom_contract.jobs import Job
from darkroom_contract.specs.webhook_event import WebhookEvent
from darkroom_contract.webhooks import (
    MAX_DETAIL_CHARACTERS,
    MAX_JITTER,
    RETRY_WAITS_SECONDS,
    Delivery,
    DeliveryState,
    outstanding,
    read_record,
)
from darkroom_gateway.webhooks.receiver import Outcome


def due_times(job: Job, now: datetime) -> dict[WebhookEvent, datetime]:
    """When each outstanding event of a job is attempted next."""
    record = read_record(job)
    found = {}
    for event in outstanding(job):
        delivery = record.get(event)
        found[event] = now if delivery is None else delivery.next_attempt_time or now
    return found


def after_attempt(before: Delivery | None, outcome: Outcome, now: datetime, jitter: float) -> Delivery:
    """The delivery after one more attempt. `jitter` is between 0 and 1."""
    attempts = 1 if before is None else before.attempts + 1
    detail = outcome.detail[:MAX_DETAIL_CHARACTERS]
    if outcome.is_delivered:
        return Delivery(state=DeliveryState.DELIVERED, attempts=attempts, last_attempt_time=now)
    if outcome.is_final or attempts > len(RETRY_WAITS_SECONDS):
        return Delivery(state=DeliveryState.GIVEN_UP, attempts=attempts, last_attempt_time=now, detail=detail)
    wait = RETRY_WAITS_SECONDS[attempts - 1] * (1 + MAX_JITTER * jitter)
    return Delivery(
        state=DeliveryState.RETRYING,
        attempts=attempts,
        last_attempt_time=now,
        next_attempt_time=now + timedelta(seconds=max(wait, outcome.retry_after_seconds)),
        detail=detail,
    )
