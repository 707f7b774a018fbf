"""Which Kubernetes Events follow from a change of a job's status. Pure; called by `reconcile/executor.py`.

Events are derived from the status before and after a write that the API server has accepted: a write names the version
that it replaces, so of two operators only one posts them. What is not a change of the status (a pod that is refused
again) has a function of its own.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from darkroom_contract.event_reasons import EVENTS, EventMeaning, EventReason, EventType
from darkroom_contract.jobs import Job
from darkroom_contract.names import API_VERSION, Kind
from darkroom_contract.outcome import Reason
from darkroom_contract.reasons import ConditionReason
from darkroom_contract.remarks import Remark
from darkroom_contract.status import Condition, ConditionStatus, ConditionType, JobStatus, Phase, RunStart
from darkroom_operator.kube.objects import Json, micro_time
from darkroom_operator.scheduling.snapshot import UnreadableJob
from darkroom_operator.status.conditions import find

CONTROLLER = "darkroom.dev/darkroom-operator"
INSTANCE = "darkroom-operator"
MAX_NAME_LENGTH = 253
MAX_NOTE_BYTES = 1024
"""Longer ones are refused by the API server (validation of events.k8s.io/v1, NoteLengthLimit)."""
REPEATED = 0xFF
"""Order, within one version of the job, of an Event that is not derived from a change. A change has far fewer Events:
at most `MAX_REMARKS` and a handful of its own."""

_UNKNOWN = EventMeaning(EventType.WARNING, "Run", "")
"""Of a remark that a newer release of the runner makes, during an upgrade."""
_OF_ONE_NOTE = frozenset({EventReason.QUOTA_EXCEEDED})
"""Reasons whose notes name counts that change all the time: repeats are one series, whatever their notes say."""
_WAITS: Mapping[str, EventReason] = {
    ConditionReason.QUEUED: EventReason.QUEUED,
    ConditionReason.WAITING_FOR_MODEL: EventReason.WAITING_FOR_MODEL,
}
_TROUBLES: Mapping[str, EventReason] = {
    Reason.START_DEADLINE_EXCEEDED: EventReason.START_DEADLINE_EXCEEDED,
    Reason.ACTIVE_DEADLINE_EXCEEDED: EventReason.ACTIVE_DEADLINE_EXCEEDED,
    ConditionReason.NODE_LOST: EventReason.NODE_LOST,
}
"""Reasons of the condition PodReady that have an Event."""


@dataclass(frozen=True, slots=True)
class JobReference:
    """The job that an Event is about, and the version of it that shows what happened."""

    kind: Kind
    namespace: str
    name: str
    uid: str
    version: str

    @classmethod
    def of(cls, job: Job | UnreadableJob) -> "JobReference":
        version = job.resource_version if isinstance(job, Job) else job.version
        return cls(job.kind, job.namespace, job.name, job.uid, version)


@dataclass(frozen=True, slots=True)
class PodReference:
    """The pod of the run that an Event is about."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One thing that happened to a job."""

    reason: str
    note: str
    pod: PodReference | None = None
    order: int = REPEATED
    """Among the Events of one change: `kubectl describe` lists what happened at the same time by name."""

    @property
    def meaning(self) -> EventMeaning:
        return EVENTS[EventReason(self.reason)] if self.reason in set(EventReason) else _UNKNOWN

    def key(self, job: JobReference) -> tuple[str, ...]:
        """Equal for Events that are one series: same job, reason, note and pod."""
        note = "" if self.reason in _OF_ONE_NOTE else self.note
        return (job.uid, self.reason, note, "" if self.pod is None else self.pod.uid)


def events_of_change(job: Job, after: JobStatus) -> list[JobEvent]:
    """What happened between the status of `job` and the next one, in the order of a job's life."""
    change = _Change(job.status, after)
    found = [*_of_the_run(change), *_of_its_end(change), *_of_the_queue(change), *_of_the_slot(change)]
    found += [JobEvent(remark.reason, remark.message, change.last_pod) for remark in _new_remarks(change)]
    found += list(_of_the_job_s_end(change))
    return [JobEvent(each.reason, each.note, each.pod, order) for order, each in enumerate(found)]


@dataclass(frozen=True, slots=True)
class _Change:
    before: JobStatus
    after: JobStatus

    @property
    def last_pod(self) -> PodReference | None:
        return _pod(self.after) if self.after.pod_uid is not None else _pod(self.before)

    def new_reason(self, kind: ConditionType) -> Condition | None:
        """The condition as it is now, if its reason is another one than before."""
        before, after = find(self.before, kind), find(self.after, kind)
        return after if after is not None and (before is None or before.reason != after.reason) else None

    def entered(self, phase: Phase) -> bool:
        return self.after.phase is phase and self.before.phase is not phase

    @property
    def is_resumed(self) -> bool:
        before, after = (find(each, ConditionType.SUSPENDED) for each in (self.before, self.after))
        was_suspended = before is not None and before.status is ConditionStatus.TRUE
        return was_suspended and after is not None and after.status is ConditionStatus.FALSE


def _of_the_run(change: _Change) -> Iterator[JobEvent]:
    ready, pod = change.new_reason(ConditionType.POD_READY), change.last_pod
    was_never_seen_running = change.before.phase is Phase.STARTING and change.after.phase is Phase.SUCCEEDED
    if change.entered(Phase.RUNNING) or was_never_seen_running:
        yield JobEvent(EventReason.STARTED, f"Run {change.after.attempts} started.", pod)
    if ready is not None and ready.reason in _TROUBLES:
        yield JobEvent(_TROUBLES[ready.reason], ready.message, pod)


def _of_its_end(change: _Change) -> Iterator[JobEvent]:
    """A run has ended, and another one follows."""
    due, ready = change.after.next_attempt_time, find(change.after, ConditionType.POD_READY)
    if due is None or due == change.before.next_attempt_time or ready is None:
        return
    interrupted = change.after.interruptions > change.before.interruptions
    how = "was interrupted" if interrupted else f"failed ({ready.reason})"
    note = (
        f"Run {change.after.attempts} {how}. The next one starts at {due:%H:%M:%S} UTC at the earliest. {ready.message}"
    )
    yield JobEvent(EventReason.RETRYING, note, _pod(change.before))


def _of_the_queue(change: _Change) -> Iterator[JobEvent]:
    if change.is_resumed:
        yield JobEvent(EventReason.RESUMED, "spec.suspend is false again.")
    admitted = change.new_reason(ConditionType.ADMITTED)
    if change.entered(Phase.SUSPENDED):
        stopped = f"Run {change.after.attempts} was stopped. " if change.before.slot is not None else ""
        note = f"{stopped}The job is out of the queue. Set spec.suspend to false to queue it again."
        yield JobEvent(EventReason.SUSPENDED, note)
    elif admitted is not None and admitted.reason in _WAITS:
        yield JobEvent(_WAITS[admitted.reason], admitted.message)
    elif admitted is not None and change.before.phase is None:
        yield JobEvent(EventReason.QUEUED, "Position 0 in the queue.")


def _of_the_slot(change: _Change) -> Iterator[JobEvent]:
    if change.after.attempts > change.before.attempts and change.after.slot is not None:
        how = "Took over the idle pod" if change.after.run_start is RunStart.WARM else "Created pod"
        note = f"Run {change.after.attempts} holds slot {change.after.slot}. {how} {change.after.pod_name}."
        yield JobEvent(EventReason.ADMITTED, note, _pod(change.after))


def _new_remarks(change: _Change) -> Iterator[Remark]:
    known = change.before.remarks or ()
    return (remark for remark in change.after.remarks or () if remark not in known)


def _of_the_job_s_end(change: _Change) -> Iterator[JobEvent]:
    if change.entered(Phase.SUCCEEDED):
        files = len(change.after.artifacts or ())
        note = f"Run {change.after.attempts} succeeded with {files} file{'' if files == 1 else 's'}."
        yield JobEvent(EventReason.SUCCEEDED, note, change.last_pod)
    if change.entered(Phase.FAILED):
        end = find(change.after, ConditionType.FAILED)
        note = "" if end is None else f"{end.reason}: {end.message}"
        yield JobEvent(EventReason.FAILED, note, change.last_pod)


def _pod(status: JobStatus) -> PodReference | None:
    if status.pod_name is None or status.pod_uid is None:
        return None
    return PodReference(status.pod_name, status.pod_uid)


def event_document(job: JobReference, event: JobEvent, now: datetime) -> Json:
    """The Event (events.k8s.io/v1). Posted twice it is one: its name follows from what it says.

    Names of one job sort by time. `kubectl describe` relies on that order: it sorts by `deprecatedLastTimestamp`,
    which this API does not allow.
    """
    pod = {} if event.pod is None else {"related": _object("v1", "Pod", job.namespace, event.pod.name, event.pod.uid)}
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": _event_name(job, event), "namespace": job.namespace},
        "regarding": _object(API_VERSION, job.kind.value, job.namespace, job.name, job.uid),
        **pod,
        "type": event.meaning.type.value,
        "reason": str(event.reason),
        "action": event.meaning.action,
        "note": event.note.encode()[:MAX_NOTE_BYTES].decode(errors="ignore"),
        "eventTime": micro_time(now),
        "reportingController": CONTROLLER,
        "reportingInstance": INSTANCE,
    }


def _event_name(job: JobReference, event: JobEvent) -> str:
    """The job's name, its version and the Event's order within it, and a digest."""
    digest = hashlib.blake2b("\0".join(event.key(job)).encode(), digest_size=4).hexdigest()
    suffix = f"{int(job.version):013x}{event.order:02x}{digest}"
    return f"{job.name[: MAX_NAME_LENGTH - len(suffix) - 1].rstrip('.-')}.{suffix}"


def _object(api_version: str, kind: str, namespace: str, name: str, uid: str) -> Json:
    return {"apiVersion": api_version, "kind": kind, "namespace": namespace, "name": name, "uid": uid}
