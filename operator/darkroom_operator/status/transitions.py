"""The status transitions of a job: the old status in, the new one out. Pure.

One function per transition, each a single pass of a `StatusBuilder`. `reconcile/plan_slot.py` and
`reconcile/housekeeping.py` decide which transition is due; `reconcile/executor.py` writes the difference.
"""

from datetime import datetime, timedelta
from typing import Any

from darkroom_contract.jobs import Job
from darkroom_contract.outcome import Outcome, Reason
from darkroom_contract.progress import ProgressEvent
from darkroom_contract.remarks import MAX_REMARKS
from darkroom_contract.status import ConditionType, JobStatus, Phase, QueueStatus, RunStart
from darkroom_operator.pods.pod_outcome import Failure
from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.scheduling.job_state import has_started
from darkroom_operator.scheduling.queue_position import QueuePosition
from darkroom_operator.status.builder import StatusBuilder
from darkroom_operator.status.conditions import MAX_MESSAGE, find
from darkroom_operator.status.pod_condition import NODE_LOST_ADVICE, is_on_lost_node, pod_ready
from darkroom_operator.status.progress import MAX_COUNT, final_progress, reported_progress
from darkroom_operator.status.waiting import backing_off, not_admitted

REFUSED = "PodRefused"
QUOTA_EXCEEDED = "QuotaExceeded"
IDLE_POD_GONE = "IdlePodGone"

ADMITTED, POD_READY, SUSPENDED = ConditionType.ADMITTED, ConditionType.POD_READY, ConditionType.SUSPENDED


def is_changed(job: Job, status: JobStatus) -> bool:
    """Whether a status differs from the job's present one.

    Fields that CRDs of an older release drop are written along with others, and are not by themselves a change.
    """
    dropped = ("admission_order", "run_start", "run_start_time")
    kept = {name: getattr(job.status, name) for name in dropped}
    if status.progress is not None and job.status.progress is not None and _lacks_start_time(job):
        images = job.status.progress.finished_images
        kept["progress"] = status.progress.model_copy(update={"finished_images": images})
    return status.model_copy(update=kept) != job.status


def _lacks_start_time(job: Job) -> bool:
    """Whether the CRDs dropped the start of the run: then they drop its finished images, too. Newer CRDs keep both, and
    images that are the only news are written."""
    return job.status.phase is Phase.RUNNING and job.status.run_start_time is None


# --- waiting for a slot ---------------------------------------------------------------------------------------------


def waiting(job: Job, position: QueuePosition | None, now: datetime) -> JobStatus:
    """The job holds no slot: it is queued, or suspended or backing off (without a position)."""
    return _waiting(job, position, now).build()


def requeued_for_model(job: Job, end: Failure, training: str | None, now: datetime) -> JobStatus:
    """A generation ran before `training` (`Kind/name`) had finished its model: it waits, and no failure is counted."""
    return _waiting(job, None, now, training).set_false(POD_READY, end.reason, end.message).build()


def requeued_for_new_pod(job: Job, end: Failure, now: datetime) -> JobStatus:
    """The idle pod that the job had taken over was gone before it began the run: nothing is counted, and the job does
    not wait."""
    return _waiting(job, None, now).set_false(POD_READY, IDLE_POD_GONE, end.message).build()


def run_suspended(job: Job, end: Failure, now: datetime) -> JobStatus:
    """A run was stopped because its job was suspended. It does not count as a failure."""
    return _waiting(job, None, now).set(saved_step=_saved_step(job, end)).build()


def _waiting(job: Job, position: QueuePosition | None, now: datetime, training: str | None = None) -> StatusBuilder:
    status = StatusBuilder(job, now).set(
        phase=Phase.SUSPENDED if job.spec.suspend else Phase.QUEUED,
        queue=None if position is None else _queue(position),
        slot=None,
        progress=None,
    )
    status.set_false(ADMITTED, *not_admitted(job, position, training))
    _record_suspension(status)
    stopping = find(job.status, POD_READY)
    if stopping is not None and stopping.reason == "Suspended":  # Also if the job was resumed meanwhile.
        status.set_false(POD_READY, "Suspended", "The run has stopped.")
    return status


def _queue(position: QueuePosition) -> QueueStatus:
    return QueueStatus(
        position=position.index, waiting_for=position.waiting_for, estimated_start_time=position.estimated_start
    )


def _record_suspension(status: StatusBuilder) -> None:
    """The condition exists once a job was suspended."""
    if status.job.spec.suspend:
        status.set_true(SUSPENDED, "Suspended", "spec.suspend is true.")
    elif find(status.job.status, SUSPENDED) is not None:
        status.set_false(SUSPENDED, "Resumed", "spec.suspend is false.")


# --- the run --------------------------------------------------------------------------------------------------------


def pod_refused(job: Job, message: str, now: datetime) -> JobStatus:
    """The API server refused the pod of the run. It is retried until the start deadline."""
    status = StatusBuilder(job, now).set(phase=Phase.QUEUED, queue=None)
    return status.set_false(ADMITTED, REFUSED, message).set_false(POD_READY, REFUSED, message).build()


def quota_exceeded(job: Job, message: str, now: datetime) -> JobStatus:
    """A ResourceQuota has no room for the pod yet: the job holds its slot but waits as if it was queued.

    There is no pod, so there is no condition PodReady; a later refusal of another kind starts its own deadline.
    """
    status = StatusBuilder(job, now).set(
        phase=Phase.QUEUED, queue=None, slot=None, next_attempt_time=None, progress=None
    )
    return status.set_false(ADMITTED, QUOTA_EXCEEDED, message).remove_condition(POD_READY).build()


def starting(job: Job, pod: RunnerPod, now: datetime) -> JobStatus:
    """The job holds a slot and has a pod. The pod is ungated, or gets its run document, only after this is written."""
    start = _start_of(pod)
    status = StatusBuilder(job, now).set(
        phase=Phase.STARTING,
        queue=None,
        attempts=pod.attempt,
        next_attempt_time=None,
        pod_name=pod.name,
        pod_uid=pod.uid,
        slot=pod.slot,
        progress=None,
        run_start=start,
        run_start_time=None,
        start_time=job.status.start_time or now.replace(microsecond=0),
    )
    status.set_true(ADMITTED, "SlotAcquired", f"Run {pod.attempt} holds slot {pod.slot}.")
    status.set_false(POD_READY, "Starting", _STARTING[start])
    _record_suspension(status)
    return status.build()


def _start_of(pod: RunnerPod) -> RunStart | None:
    """None without warm pods: all starts are cold then."""
    if not pod.template:
        return None
    return RunStart.WARM if pod.is_warm else RunStart.COLD


_STARTING = {
    None: "The pod has been created.",
    RunStart.COLD: "Cold start: the pod has been created.",
    RunStart.WARM: "Warm start: the idle pod of an earlier run takes the run over.",
}


def running(job: Job, pod: RunnerPod, event: ProgressEvent | None, now: datetime) -> JobStatus:
    """The run according to its pod and its newest progress; `Starting` until its container has started and has the run
    document.

    A pod that seems to wait again is a stale view: a container starts once.
    """
    has_begun = pod.started is not None and pod.has_run
    is_stale = not has_begun and has_started(job)
    is_running = has_begun or is_stale
    status = StatusBuilder(job, now).set(
        phase=Phase.RUNNING if is_running else Phase.STARTING,
        run_start_time=job.status.run_start_time or now.replace(microsecond=0) if is_running else None,
        progress=reported_progress(job.status, event),
    )
    ready = pod_ready(pod, now)
    return (
        status.build() if is_stale and ready.reason == "Starting" else status.set_condition(POD_READY, *ready).build()
    )


def stopping(job: Job, reason: str, message: str, pod: RunnerPod, now: datetime) -> JobStatus:
    """The run is about to be stopped, and why. `reconcile/stops.py` reads the reason when the pod is gone."""
    if is_on_lost_node(pod, now):
        message = f"{message} {NODE_LOST_ADVICE}"
    return StatusBuilder(job, now).set_false(POD_READY, reason, message).build()


def node_lost(job: Job, now: datetime) -> JobStatus:
    """A run has ended, but a sidecar keeps its pod on a node that does not respond: the condition says so."""
    ready = find(job.status, POD_READY)
    if ready is None or ready.message.endswith(NODE_LOST_ADVICE):
        return job.status
    message = f"{ready.message[: MAX_MESSAGE - len(NODE_LOST_ADVICE) - 1]} {NODE_LOST_ADVICE}"
    return StatusBuilder(job, now).set_condition(POD_READY, ready.status, ready.reason, message).build()


# --- the end of a run -----------------------------------------------------------------------------------------------


def run_failed(job: Job, failure: Failure, wait: timedelta, now: datetime) -> JobStatus:
    """A run has failed: another one follows after a wait, or this was the last.

    A training run that saved a later state than all runs before it has made progress, and does not count.
    """
    if not failure.reason.retriable:
        return failed(job, failure, now, failures=job.status.failures + 1)
    failures = job.status.failures + (0 if _has_progressed(job, failure) else 1)
    if failures > job.spec.backoff_limit:
        message = (
            f"{failure.reason}: {failure.message} This was failure {failures}, and spec.backoffLimit is "
            f"{job.spec.backoff_limit}."
        )
        last = Failure(Reason.BACKOFF_LIMIT_EXCEEDED, message, remarks=failure.remarks)
        return failed(job, last, now, failures=failures)
    return _retrying(job, failure, wait, now, failures=failures)


def run_interrupted(job: Job, interruption: Failure, wait: timedelta, now: datetime) -> JobStatus:
    """A run was ended from outside: another one follows after a wait. It does not count against the backoff limit."""
    return _retrying(job, interruption, wait, now, interruptions=job.status.interruptions + 1)


def _has_progressed(job: Job, failure: Failure) -> bool:
    return failure.saved_step is not None and failure.saved_step > (job.status.saved_step or 0)


def _retrying(job: Job, end: Failure, wait: timedelta, now: datetime, **counts: int) -> JobStatus:
    due = (now + wait).replace(microsecond=0) + timedelta(seconds=1 if now.microsecond else 0)
    status = StatusBuilder(job, now).set(
        phase=Phase.QUEUED,
        saved_step=_saved_step(job, end),
        next_attempt_time=due,
        slot=None,
        progress=None,
        **counts,
    )
    status.set_false(ADMITTED, "BackingOff", backing_off(job, due))
    return status.set_false(POD_READY, end.reason, end.message).build()


def _saved_step(job: Job, end: Failure) -> int | None:
    return min(max(job.status.saved_step or 0, end.saved_step or 0), MAX_COUNT) or None


# --- the end of the job ---------------------------------------------------------------------------------------------


def succeeded(job: Job, outcome: Outcome, now: datetime) -> JobStatus:
    status = _finished(job, Phase.SUCCEEDED, now).set(
        artifacts=outcome.artifacts,
        progress=final_progress(job.spec, outcome.metrics, now),
        remarks=outcome.remarks[:MAX_REMARKS] or None,
    )
    return status.set_true(ConditionType.COMPLETE, "Succeeded", outcome.message or _made(outcome)).build()


def _made(outcome: Outcome) -> str:
    count = len(outcome.files)
    return f"The run succeeded with {count} file{'' if count == 1 else 's'}."


def failed(job: Job, failure: Failure, now: datetime, **fields: Any) -> JobStatus:
    """The job has failed for good; `fields` are set as well."""
    status = _finished(job, Phase.FAILED, now).set(remarks=failure.remarks[:MAX_REMARKS] or None, **fields)
    return status.set_true(ConditionType.FAILED, failure.reason, failure.message).build()


def _finished(job: Job, phase: Phase, now: datetime) -> StatusBuilder:
    status = StatusBuilder(job, now).set(
        phase=phase, queue=None, slot=None, next_attempt_time=None, completion_time=now.replace(microsecond=0)
    )
    return status if job.status.pod_name is None else status.set_false(POD_READY, "Finished", "The run has ended.")


def generation_observed(job: Job, now: datetime) -> JobStatus:
    """A finished job whose spec was changed: only the observed generation changes."""
    return StatusBuilder(job, now).build()
