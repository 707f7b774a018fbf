"""Webhook deliveries of a job: which events have happened, and what was delivered of them. Pure.

The whole state is in the job: its spec and status say what has happened, and an annotation what was delivered. The
gateway sends and records; the operator postpones the deletion of an expired job while a delivery is outstanding.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from enum import StrEnum

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from darkroom_contract.jobs import Job
from darkroom_contract.schema import PrintableText, Schema
from darkroom_contract.specs.webhook_event import WebhookEvent
from darkroom_contract.status import Phase

RETRY_WAITS_SECONDS = (5, 30, 300, 1800, 7200, 18_000, 28_800, 28_800)
"""The waits after failed attempts. After the last attempt, about a day after the first, the delivery is given up."""
MAX_JITTER = 0.1
"""Each wait is longer by up to this share, so that the retries of many jobs do not come at once."""
MAX_POSTPONEMENT = timedelta(hours=27)
"""How long after its end an expired job is kept for its webhook: a little more than all attempts take."""
MAX_DETAIL_CHARACTERS = 200


class DeliveryState(StrEnum):
    """The state of the delivery of one event."""

    RETRYING = "Retrying"
    DELIVERED = "Delivered"
    GIVEN_UP = "GivenUp"

    @property
    def is_settled(self) -> bool:
        return self is not DeliveryState.RETRYING


class Delivery(Schema):
    """The delivery of one event after at least one attempt."""

    state: DeliveryState
    attempts: int = Field(ge=1)
    last_attempt_time: AwareDatetime
    next_attempt_time: AwareDatetime | None = None
    """Present while `Retrying`."""
    detail: PrintableText = Field("", max_length=MAX_DETAIL_CHARACTERS)
    """Why the last attempt failed."""


Record = Mapping[WebhookEvent, Delivery]
"""The deliveries of a job, by event. An event without an entry was not attempted yet."""

_RECORD = TypeAdapter(dict[WebhookEvent, Delivery])


def read_record(job: Job) -> Record:
    """The deliveries that the job records. Empty for a record that can't be read: its events are delivered again."""
    if job.webhook_record is None:
        return {}
    try:
        return _RECORD.validate_json(job.webhook_record)
    except ValidationError:
        return {}


def write_record(record: Record) -> str:
    """The value of the annotation."""
    return _RECORD.dump_json(dict(record), by_alias=True, exclude_none=True).decode()


def happened(job: Job) -> Iterator[WebhookEvent]:
    """The events of a job so far, in order."""
    if job.status.start_time is not None:
        yield WebhookEvent.STARTED
    if job.status.phase is Phase.SUCCEEDED:
        yield WebhookEvent.SUCCEEDED
    elif job.status.phase is Phase.FAILED:
        yield WebhookEvent.FAILED
    elif job.deleting:
        yield WebhookEvent.DELETED


def outstanding(job: Job) -> list[WebhookEvent]:
    """The events that its webhook should get and neither got nor was given up for."""
    wanted = frozenset(job.spec.reported_events)
    if not wanted:
        return []
    record = read_record(job)
    return [each for each in happened(job) if each in wanted and not _is_settled(record.get(each))]


def may_report(job: Job) -> bool:
    """Whether the webhook of the job has an outstanding event, or may get one later."""
    if job.spec.webhook is None:
        return False
    is_finished = job.status.phase is not None and job.status.phase.is_terminal
    return not is_finished or bool(outstanding(job))


def _is_settled(delivery: Delivery | None) -> bool:
    return delivery is not None and delivery.state.is_settled
