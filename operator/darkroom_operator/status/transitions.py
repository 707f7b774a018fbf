"""What a job's status says at each turn of its life: the old status in, the new one out. Pure.

One function a turn. `steps.py` decides which turn it is, `reconcile.py` writes the difference.
"""

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from darkroom_contract.jobs import Job
from darkroom_contract.outcome import Outcome, Reason
from darkroom_contract.progress import ProgressEvent, Stage
from darkroom_contract.remarks import MAX_REMARKS
from darkroom_contract.status import (
    Condition,
    ConditionStatus,
    ConditionType,
    JobStatus,
    Phase,
    ProgressStatus,
    QueueStatus,
)
from darkroom_operator.kube.objects import aware
from darkroom_operator.pods.pod_outcome import Failure
from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.scheduling.queue_position import QueuePosition
from darkroom_operator.status.conditions import MAX_MESSAGE, condition, find, put
from darkroom_operator.status.pod_condition import NODE_LOST_ADVICE, is_on_lost_node, pod_condition
from darkroom_operator.status.waiting import backing_off, why_it_waits

REFUSED = "PodRefused"
QUOTA_EXCEEDED = "QuotaExceeded"
MAX_METRICS = 32
MAX_COUNT = 2**31 - 1
"""What a runner says may be anything; a status that the API server refuses would never be written."""

TRUE, FALSE = ConditionStatus.TRUE, ConditionStatus.FALSE


def is_changed(job: Job, status: JobStatus) -> bool:
    """Whether a status says something that the job's present one does not.

    What CRDs of an older release drop is written along with something else, and is never by itself a reason to write.
    """
    dropped = ("admission_order", "run_start_time")
    return status.model_copy(update={name: getattr(job.status, name) for name in dropped}) != job.status


def waiting(job: Job, place: QueuePosition | None, now: datetime, training: str | None = None) -> JobStatus:
    """A job that holds no slot: queued, backing off (no place in the queue) or suspended.

    `training` is the `Kind/name` of one that it waits for before it has a place; a place has its own.
    """
    reason, words = why_it_waits(job, place, training)
    new = [condition(ConditionType.ADMITTED, FALSE, reason, words, now, job.generation)]
    return _changed(
        job,
        phase=Phase.SUSPENDED if job.spec.suspend else Phase.QUEUED,
        queue=None if place is None else _queue(place),
        slot=None,
        progress=None,
        conditions=put(job.status.conditions, *new, *_suspended(job, now), *_stopped(job, now)),
    )


def _stopped(job: Job, now: datetime) -> list[Condition]:
    """A run that was being stopped has ended: its condition says so, also when the job was resumed meanwhile."""
    ready = find(job.status, ConditionType.POD_READY)
    if ready is None or ready.reason != "Suspended":
        return []
    return [condition(ConditionType.POD_READY, FALSE, "Suspended", "The run has stopped.", now, job.generation)]


def starting(job: Job, pod: RunnerPod, now: datetime) -> JobStatus:
    """The job holds a slot, and its pod is made; it is let go only after this is written."""
    admitted = condition(
        ConditionType.ADMITTED, TRUE, "SlotAcquired", f"Run {pod.attempt} holds slot {pod.slot}.", now, job.generation
    )
    ready = condition(ConditionType.POD_READY, FALSE, "Starting", "The pod is made.", now, job.generation)
    return _changed(
        job,
        phase=Phase.STARTING,
        queue=None,
        attempts=pod.attempt,
        next_attempt_time=None,
        pod_name=pod.name,
        pod_uid=pod.uid,
        slot=pod.slot,
        progress=None,
        run_start_time=None,
        start_time=job.status.start_time or now.replace(microsecond=0),
        conditions=put(job.status.conditions, admitted, ready, *_suspended(job, now)),
    )


def pod_refused(job: Job, message: str, now: datetime) -> JobStatus:
    """The API server refused the run's pod; it is tried again until the start deadline."""
    admitted = condition(ConditionType.ADMITTED, FALSE, REFUSED, message, now, job.generation)
    ready = condition(ConditionType.POD_READY, FALSE, REFUSED, message, now, job.generation)
    conditions = put(job.status.conditions, admitted, ready)
    return _changed(job, phase=Phase.QUEUED, queue=None, conditions=conditions)


def quota_exceeded(job: Job, message: str, now: datetime) -> JobStatus:
    """A quota has no room for the run's pod yet: the job holds its slot, and waits on as in the queue. There is no pod,
    so no condition tells of one; a refusal of another kind that follows is a new one."""
    admitted = condition(ConditionType.ADMITTED, FALSE, QUOTA_EXCEEDED, message, now, job.generation)
    kept = tuple(each for each in job.status.conditions if each.type != ConditionType.POD_READY)
    return _changed(
        job,
        phase=Phase.QUEUED,
        queue=None,
        slot=None,
        next_attempt_time=None,
        progress=None,
        conditions=put(kept, admitted),
    )


def running(job: Job, pod: RunnerPod, event: ProgressEvent | None, now: datetime) -> JobStatus:
    """The run as its pod and its newest progress show it; `Starting` until its container has begun."""
    return _changed(
        job,
        phase=Phase.STARTING if pod.started is None else Phase.RUNNING,
        run_start_time=_run_start(job, pod, now),
        progress=_progress(job, event),
        conditions=put(job.status.conditions, pod_condition(job, pod, now)),
    )


def _run_start(job: Job, pod: RunnerPod, now: datetime) -> datetime | None:
    if pod.started is None:
        return None
    return job.status.run_start_time or now.replace(microsecond=0)


def stopping(job: Job, reason: str, message: str, pod: RunnerPod, now: datetime) -> JobStatus:
    """The run is about to be stopped, and why; read again by `steps.py` when its pod is gone."""
    if is_on_lost_node(pod, now):
        message = f"{message} {NODE_LOST_ADVICE}"
    ready = condition(ConditionType.POD_READY, FALSE, reason, message, now, job.generation)
    return _changed(job, conditions=put(job.status.conditions, ready))


def succeeded(job: Job, outcome: Outcome, now: datetime) -> JobStatus:
    done = condition(ConditionType.COMPLETE, TRUE, "Succeeded", outcome.message, now, job.generation)
    progress = ProgressStatus(
        stage=Stage.DONE,
        progress_percentage=100.0,
        estimated_remaining_seconds=0.0,
        metrics=_metrics(outcome.metrics),
        last_updated_time=now.replace(microsecond=0),
    )
    changes: dict[str, Any] = {"artifacts": outcome.artifacts, "progress": progress}
    changes["remarks"] = outcome.remarks[:MAX_REMARKS] or None
    return _finished(job, Phase.SUCCEEDED, done, now, **changes)


def failed(job: Job, failure: Failure, now: datetime, **changes: Any) -> JobStatus:
    """The end. Whatever else `changes` says of the status."""
    end = condition(ConditionType.FAILED, TRUE, failure.reason, failure.message, now, job.generation)
    return _finished(job, Phase.FAILED, end, now, remarks=failure.remarks[:MAX_REMARKS] or None, **changes)


def run_failed(job: Job, failure: Failure, wait: timedelta, now: datetime) -> JobStatus:
    """A run has failed: another one follows after a wait, or this was the last.

    A training run that saved a later state than the runs before it has made progress, and does not count.
    """
    if not failure.reason.retriable:
        return failed(job, failure, now, failures=job.status.failures + 1)
    failures = job.status.failures + (0 if _has_progressed(job, failure) else 1)
    if failures > job.spec.backoff_limit:
        words = f"{failure.reason}: {failure.message} It was failure {failures}; spec.backoffLimit allows "
        words = f"{words}{job.spec.backoff_limit} before it."
        last = Failure(Reason.BACKOFF_LIMIT_EXCEEDED, words, remarks=failure.remarks)
        return failed(job, last, now, failures=failures)
    return _tried_again(job, failure, wait, now, failures=failures)


def run_interrupted(job: Job, interruption: Failure, wait: timedelta, now: datetime) -> JobStatus:
    """Something outside ended a run: another one follows after a wait, and nothing counts against the backoff limit."""
    interruptions = job.status.interruptions + 1
    return _tried_again(job, interruption, wait, now, interruptions=interruptions)


def _has_progressed(job: Job, failure: Failure) -> bool:
    return failure.saved_step is not None and failure.saved_step > (job.status.saved_step or 0)


def _tried_again(job: Job, end: Failure, wait: timedelta, now: datetime, **counts: int) -> JobStatus:
    due = (now + wait).replace(microsecond=0) + timedelta(seconds=1 if now.microsecond else 0)
    admitted = condition(ConditionType.ADMITTED, FALSE, "BackingOff", backing_off(job, due), now, job.generation)
    ready = condition(ConditionType.POD_READY, FALSE, end.reason, end.message, now, job.generation)
    return _changed(
        job,
        phase=Phase.QUEUED,
        saved_step=_saved_step(job, end),
        next_attempt_time=due,
        slot=None,
        progress=None,
        conditions=put(job.status.conditions, admitted, ready),
        **counts,
    )


def generation_observed(job: Job) -> JobStatus:
    """A finished job whose spec was changed: nothing follows from it, but that it was seen."""
    return _changed(job)


def requeued_for_model(job: Job, end: Failure, training: str | None, now: datetime) -> JobStatus:
    """A generation ran before the training of its model has ended: it waits for that, and no failure is counted."""
    status = waiting(job, None, now, training)
    ready = condition(ConditionType.POD_READY, FALSE, end.reason, end.message, now, job.generation)
    return status.model_copy(update={"conditions": put(status.conditions, ready)})


def run_suspended(job: Job, end: Failure, now: datetime) -> JobStatus:
    """A run was stopped because its job was suspended. It does not count as a failure."""
    return waiting(job, None, now).model_copy(update={"saved_step": _saved_step(job, end)})


def node_lost(job: Job, now: datetime) -> JobStatus:
    """A run has ended, and another container keeps its pod on a node that does not answer: the condition says so."""
    ready = find(job.status, ConditionType.POD_READY)
    if ready is None or ready.message.endswith(NODE_LOST_ADVICE):
        return job.status
    words = f"{ready.message[: MAX_MESSAGE - len(NODE_LOST_ADVICE) - 1]} {NODE_LOST_ADVICE}"
    told = condition(ConditionType.POD_READY, ready.status, ready.reason, words, now, job.generation)
    return _changed(job, conditions=put(job.status.conditions, told))


def _saved_step(job: Job, end: Failure) -> int | None:
    return min(max(job.status.saved_step or 0, end.saved_step or 0), MAX_COUNT) or None


def _finished(job: Job, phase: Phase, end: Condition, now: datetime, **changes: Any) -> JobStatus:
    new = [end]
    if job.status.pod_name is not None:
        new.append(condition(ConditionType.POD_READY, FALSE, "Finished", "The run is over.", now, job.generation))
    return _changed(
        job,
        phase=phase,
        queue=None,
        slot=None,
        next_attempt_time=None,
        completion_time=now.replace(microsecond=0),
        conditions=put(job.status.conditions, *new),
        **changes,
    )


def _queue(place: QueuePosition) -> QueueStatus:
    return QueueStatus(position=place.position, waiting_for=place.waiting_for, estimated_start_time=place.start)


def _changed(job: Job, **changes: Any) -> JobStatus:
    """Every condition observes the present generation: `kubectl wait` passes over one that does not."""
    conditions = changes.pop("conditions", job.status.conditions)
    seen = {"observed_generation": job.generation}
    return job.status.model_copy(
        update={
            **seen,
            "admission_order": job.order,
            "conditions": tuple(each.model_copy(update=seen) for each in conditions),
            **changes,
        }
    )


def _suspended(job: Job, now: datetime) -> list[Condition]:
    """Present once a job was ever suspended."""
    if job.spec.suspend:
        return [condition(ConditionType.SUSPENDED, TRUE, "Suspended", "spec.suspend is true.", now, job.generation)]
    if any(each.type == ConditionType.SUSPENDED for each in job.status.conditions):
        return [condition(ConditionType.SUSPENDED, FALSE, "Resumed", "spec.suspend is false.", now, job.generation)]
    return []


def _progress(job: Job, event: ProgressEvent | None) -> ProgressStatus | None:
    """The event as a status, if it is of the present run; else what is there already."""
    if event is None or event.attempt != job.status.attempts:
        return job.status.progress
    remaining = event.estimated_remaining_seconds
    return ProgressStatus(
        stage=event.stage,
        step=min(event.step, MAX_COUNT),
        total=min(event.total, MAX_COUNT),
        progress_percentage=event.progress_percentage,
        estimated_remaining_seconds=remaining if remaining is not None and math.isfinite(remaining) else None,
        metrics=_metrics(event.metrics),
        last_updated_time=aware(event.time).replace(microsecond=0),
    )


def _metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Those that a status may hold. JSON knows no infinity."""
    finite = ((name, value) for name, value in metrics.items() if math.isfinite(value))
    return dict(islice(finite, MAX_METRICS))
