"""Events of jobs, and how a followed job continues after its stream broke. Pure.

A followed job alternates: one stream of events until it breaks or ends, then one request for the job. So nothing is
lost where streams don't work, and the last event is always the job as it ended.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from darkroom_client.errors import (
    DarkroomError,
    GatewayError,
    GatewayUnreachableError,
    NotFoundError,
    UnexpectedAnswerError,
)
from darkroom_client.models import Job, Kind, Progress
from darkroom_client.retries import Retries, may_pass

OUTAGE_SECONDS = 600.0
"""How long a gateway may be away before following it is given up."""

POLL_SECONDS = 2.0
"""Between two polls of a job that has no stream."""

_DELETED = "Deleted"


@dataclass(frozen=True)
class JobChanged:
    """The job has another status, place in the queue or progress. The last event has the finished job."""

    job: Job


@dataclass(frozen=True)
class ProgressReported:
    """Progress as the run reports it."""

    progress: Progress
    job_id: str
    kind: Kind | None = None
    files: tuple[str, ...] = ()
    """Addresses of files that can be read from now on: finished pictures, sample images of a training."""
    preview: dict[str, Any] | None = None
    """`seed`, `step` and a small `jpeg` in base64: what an image looks like so far."""


@dataclass(frozen=True)
class JobDeleted:
    """The last event of a job that was deleted."""

    job_id: str
    kind: Kind | None = None


@dataclass(frozen=True)
class Warned:
    """The gateway has lost the cluster or the live progress. The stream continues."""

    source: str
    detail: str


@dataclass(frozen=True)
class Disconnected:
    """The connection to the gateway is lost, and is being restored. Once for each outage."""

    detail: str


@dataclass(frozen=True)
class Reset:
    """Events may be missing here: list the jobs again."""


Event = JobChanged | ProgressReported | JobDeleted | Warned | Disconnected | Reset


def read_event(name: str, data: str, job_id: str = "") -> Event | None:
    """An event of a stream; None for kinds that this release does not know. `job_id` is that of a job's own stream."""
    try:
        if name == "job":
            return JobChanged(Job.model_validate_json(data))
        document = json.loads(data) if data else {}
        if name == "progress":
            return _progress(document, job_id)
        if name == "deleted":
            return JobDeleted(document["id"], document.get("kind"))
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise UnexpectedAnswerError(f"The event {name!r} of the gateway is not one of Darkroom's: {error}.") from error
    if name == "warning":
        return Warned(str(document.get("source", "")), str(document.get("detail", "")))
    return Reset() if name == "reset" else None


def _progress(document: dict[str, Any], job_id: str) -> ProgressReported:
    """Of the stream of all jobs, with the job's id, or of the job's own."""
    inner = document.get("progress", document)
    fields = {name: value for name, value in inner.items() if name not in ("files", "preview")}
    return ProgressReported(
        Progress.model_validate(fields),
        document.get("id", job_id),
        document.get("kind"),
        tuple(inner.get("files") or document.get("files") or ()),
        inner.get("preview") or document.get("preview"),
    )


class Outage:
    """How long the gateway has not answered."""

    def __init__(self, retries: Retries, clock: Callable[[], float] = time.monotonic) -> None:
        self._retries = retries
        self._clock = clock
        self._began: float | None = None
        self._failures = 0

    def ended(self) -> None:
        self._began, self._failures = None, 0

    def failed(self, failure: DarkroomError) -> Iterator[Disconnected]:
        """Raises the failure when it is final, or when the outage has lasted too long."""
        if not may_pass(failure):
            raise failure
        now = self._clock()
        if self._began is None:
            self._began = now
            yield Disconnected(str(failure))
        if now - self._began > OUTAGE_SECONDS:
            raise failure
        self._failures += 1

    def pause_seconds(self) -> float:
        return self.backoff_seconds(self._failures, self._retries.longest_seconds)

    def backoff_seconds(self, rounds: int, longest_seconds: float) -> float:
        seconds: float = self._retries.first_seconds * 2 ** min(rounds, 10)
        return min(seconds, longest_seconds)


class FollowedJob:
    """What is known of a followed job, and what is to be done next."""

    def __init__(self, job_id: str, outage: Outage) -> None:
        self.job_id = job_id
        self.last_event_id: str | None = None
        self.is_over = False
        self.has_stream = True
        """Whether the gateway has a stream of events for it; otherwise it is only polled."""
        self._outage = outage
        self._job: Job | None = None
        self._quiet_rounds = 0

    def received(self, name: str, data: str, event_id: str) -> Iterator[Event]:
        """An event of the stream."""
        self._outage.ended()
        self._quiet_rounds = 0
        if event_id:
            self.last_event_id = event_id
        if name == "end":
            yield from self._ended(data)
            return
        event = self._changed(data) if name == "status" else read_event(name, data, self.job_id)
        if event is not None:
            yield event

    def _changed(self, data: str) -> Event | None:
        """The stream of one job has its status in an older form, without its files. The last poll has the whole job."""
        assert self._job is not None
        try:
            job = _updated(self._job, json.loads(data))
        except (ValidationError, ValueError, AttributeError) as error:
            raise UnexpectedAnswerError(f"The status of {self.job_id} is not one of Darkroom's: {error}.") from error
        if job.is_finished or _state(job) == _state(self._job):
            return None
        self._job = job
        return JobChanged(job)

    def _ended(self, data: str) -> Iterator[Event]:
        """The poll that follows has the finished job, or finds a gateway that stops."""
        try:
            is_deleted = json.loads(data).get("reason") == _DELETED
        except (ValueError, AttributeError):
            is_deleted = False
        if is_deleted:
            yield from self._deleted()

    def polled(self, job: Job) -> Iterator[Event]:
        """The job, after a stream has broken or ended."""
        self._outage.ended()
        if self._job is None or _state(job) != _state(self._job):
            yield JobChanged(job)
        self._job = job
        self.is_over = job.is_finished

    def stream_failed(self, failure: DarkroomError) -> None:
        """The poll that follows decides whether the gateway can be reached at all."""
        is_missing = isinstance(failure, GatewayError) and failure.status in (404, 405, 406)
        if isinstance(failure, UnexpectedAnswerError) or is_missing:
            self.has_stream = False
        elif not may_pass(failure):
            raise failure

    def poll_failed(self, failure: DarkroomError) -> Iterator[Event]:
        if isinstance(failure, NotFoundError) and self._job is not None:
            yield from self._deleted()
        else:
            yield from self._outage.failed(failure)

    def _deleted(self) -> Iterator[Event]:
        self.is_over = True
        yield JobDeleted(self.job_id, self._job.kind if self._job else None)

    def pause_seconds(self) -> float:
        """Until the next stream and poll."""
        self._quiet_rounds += 1
        return max(self._outage.pause_seconds(), self._outage.backoff_seconds(self._quiet_rounds, POLL_SECONDS))


def _state(job: Job) -> tuple[object, ...]:
    """What makes a job a changed one: links are signed again for every answer."""
    position = None if job.queue is None else (job.queue.position, job.queue.waiting_for)
    return (job.status, position, job.progress, job.error, job.attempts, job.deleting, len(job.artifacts))


def _updated(job: Job, status: dict[str, Any]) -> Job:
    """The job with the changing part of a `status` event."""
    changes = {name: status.get(name) for name in ("queue", "progress")}
    for name in ("attempts", "priority", "deleting"):
        if name in status:
            changes[name] = status[name]
    return Job.model_validate({**dict(job), "status": status.get("phase", job.status), **changes})


class WatchedJobs:
    """The stream of all jobs, over lost connections."""

    def __init__(self, outage: Outage) -> None:
        self.last_event_id: str | None = None
        self._outage = outage

    def received(self, name: str, data: str, event_id: str) -> Iterator[Event]:
        self._outage.ended()
        if event_id:
            self.last_event_id = event_id
        event = read_event(name, data)
        if event is not None:
            yield event

    def lost(self, failure: DarkroomError | None, gateway: str) -> Iterator[Event]:
        """The stream broke, or ended without an error."""
        yield from self._outage.failed(failure or GatewayUnreachableError(gateway, "the stream ended", was_sent=True))

    def pause_seconds(self) -> float:
        return self._outage.pause_seconds()
