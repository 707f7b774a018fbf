"""The next action for one slot: a snapshot in, at most one action out. Pure.

A run goes through these steps. Each is a single request that is planned on the current state, so a crash between two
steps, or a second operator that takes the same ones, does no harm.

1. Assign: the slot's Lease names the job as its holder. The update carries the resource version it was decided on.
2. Create the run's pod, with a scheduling gate that keeps it from running.
3. Record the pod's uid in the job's status; refused if the job has changed.
4. Confirm the pod's uid in the Lease; refused if the slot has a new holder since step 1.
5. Ungate the pod. From here on an operator with a stale view is refused at step 3 or 4.
6. Supervise the run until it ends or is stopped, then write its outcome into the job's status as soon as the runner's
   container has ended (`finish_run.py`). A pod that a sidecar keeps alive is deleted.
7. Hand the slot over to the next job: only when the pod in the Lease is terminated or gone, and no other pod is active.

A pod whose run ended well may stay for the next job, which takes it over in place of steps 2 and 5: see `warm_pods.py`.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from darkroom_contract.jobs import Job
from darkroom_contract.outcome import Reason
from darkroom_contract.status import ConditionType, JobStatus
from darkroom_operator.kube.objects import aware
from darkroom_operator.pods.pod_outcome import Failure
from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.reconcile import warm_pods
from darkroom_operator.reconcile.actions import (
    Action,
    AssignSlot,
    ConfirmPod,
    CreatePod,
    DeletePod,
    UngatePod,
    VerifyHolder,
    VerifyJob,
    VerifyPods,
    WriteStatus,
)
from darkroom_operator.reconcile.finish_run import RetryWait, finish_run
from darkroom_operator.reconcile.other_slots import exceeds_quota, other_slot_exceeds_quota
from darkroom_operator.reconcile.stops import DELETED, Stop, stop_of
from darkroom_operator.scheduling.admission import admit, awaited_training, is_current_run, is_recorded, owns_slot
from darkroom_operator.scheduling.job_state import is_backing_off, is_finished, may_run
from darkroom_operator.scheduling.slot import Slot
from darkroom_operator.scheduling.snapshot import Snapshot
from darkroom_operator.status import transitions
from darkroom_operator.status.conditions import find
from darkroom_operator.status.pod_condition import is_on_lost_node

PHASE_FOLLOWS_WITHIN = timedelta(seconds=60)
"""A kubelet took at most 1.6 s from the end of a pod's only container to the terminal phase of the pod."""


def plan_slot(slot: Slot, snapshot: Snapshot, retry_wait: RetryWait) -> Action | None:
    """The next action for a slot; None if there is only waiting."""
    if (unseen := warm_pods.verify_idle_pod(slot, snapshot)) is not None:
        return unseen
    if slot.holder is None:
        return _hand_over(slot, snapshot)
    job = snapshot.jobs.get(slot.holder)
    if job is None:
        return _release(slot, snapshot)
    if slot.pod_uid is None:
        return _start_run(slot, job, snapshot, retry_wait)
    if is_finished(job):  # Step 6 is done.
        return _release(slot, snapshot)
    pod = snapshot.pods.get(slot.pod_uid)
    if pod is None and slot.pod_uid not in snapshot.deleted:
        return VerifyPods(job.uid, slot.pod_uid, slot.pod_name)
    if (job.status.slot, job.status.pod_uid) != (slot.number, slot.pod_uid):
        return _repair_record(slot, job, pod, snapshot)
    if pod is None or pod.terminated or pod.run_ended:
        return finish_run(job, pod or _last_seen(slot.pod_uid, snapshot), snapshot, retry_wait)
    return _supervise(job, pod, snapshot)


# --- 1. Assign, and 7. hand over ------------------------------------------------------------------------------------


def _hand_over(slot: Slot, snapshot: Snapshot) -> Action | None:
    """Assign the slot, unless a run still occupies it, for example after its Lease was deleted by hand. An idle pod
    stays in it. A holder whose run has ended gets the slot again if it is still the first of the queue."""
    job = next(_owners(slot, snapshot), None)
    if job is not None:
        return AssignSlot(slot, job)
    idle = warm_pods.idle_pod(slot, snapshot)
    for pod in snapshot.pods.values():
        if pod is not idle and _is_in(slot, pod) and _may_run_here(pod, slot):
            return _remove(pod, snapshot)
    is_admitting = slot.number < snapshot.slot_count and not other_slot_exceeds_quota(slot.number, snapshot)
    job = admit(snapshot, slot) if is_admitting else None
    is_unchanged = job is None and slot.holder is None and slot.idle_pod_uid == (None if idle is None else idle.uid)
    return None if is_unchanged else AssignSlot(slot, job, idle)


def _is_in(slot: Slot, pod: RunnerPod) -> bool:
    return pod.slot == slot.number or pod.uid == slot.idle_pod_uid


def _owners(slot: Slot, snapshot: Snapshot) -> Iterator[Job]:
    """Jobs with an ungated run in this slot whose end is not in the status yet."""
    unfinished = snapshot.pending.uids  # The pods of finished jobs may be a thousand.
    for pod in [each for each in snapshot.pods.values() if each.job_uid in unfinished]:
        job = snapshot.jobs.get(pod.job_uid)
        if pod.slot == slot.number and not pod.gated and job is not None and owns_slot(job, pod):
            yield job


def _may_run_here(pod: RunnerPod, slot: Slot) -> bool:
    """Whether the pod is active, or may be ungated by an operator that has seen a Lease which is deleted now."""
    return pod.active or (slot.uid is None and not pod.terminated)


def _remove(pod: RunnerPod, snapshot: Snapshot) -> Action | None:
    if not _is_known(pod.job_uid, snapshot):
        return VerifyJob(pod)
    return None if pod.deleting else DeletePod(pod, "it does not hold its slot")


def _is_known(job_uid: str, snapshot: Snapshot) -> bool:
    return job_uid in snapshot.jobs or job_uid in snapshot.unreadable or job_uid in snapshot.deleted


# --- 2. Create, 3. record and 4. confirm the pod --------------------------------------------------------------------


def _start_run(slot: Slot, job: Job, snapshot: Snapshot, retry_wait: RetryWait) -> Action | None:
    """The job holds the slot, but no pod is confirmed in it yet."""
    due = [pod for pod in snapshot.find_pods(job.uid) if pod.slot == slot.number and is_current_run(pod, job)]
    pod = max((each for each in due if each.has_run), key=lambda each: (not each.gated, each.attempt), default=None)
    is_ungated = pod is not None and owns_slot(job, pod)
    idle = None if is_ungated else warm_pods.idle_pod(slot, snapshot)
    others = [each for each in snapshot.active_pods(slot.number) if each is not idle and not _is_run_of(job, each)]
    if others or not (is_ungated or _may_start(slot, job, snapshot)):
        return _hand_over(slot, snapshot)
    if idle is not None:
        if (taking := warm_pods.take_over(job, idle, snapshot)) is not None:
            return taking
        pod = idle
    if pod is None:
        return _create_pod(slot, job, snapshot, retry_wait)
    if pod.gated and pod.deleting:
        return None
    if not is_recorded(pod, job):
        return WriteStatus(job, transitions.starting(job, pod, snapshot.now))
    return ConfirmPod(slot, pod)


def _is_run_of(job: Job, pod: RunnerPod) -> bool:
    return pod.job_uid == job.uid and pod.has_run


def _may_start(slot: Slot, job: Job, snapshot: Snapshot) -> bool:
    ready = may_run(job) and not is_backing_off(job, snapshot.now) and awaited_training(job, snapshot) is None
    return ready and job.uid not in snapshot.rejected and job.status.slot in (None, slot.number)


def _create_pod(slot: Slot, job: Job, snapshot: Snapshot, retry_wait: RetryWait) -> Action | None:
    status = job.status
    if status.slot == slot.number and status.pod_uid is not None and status.pod_uid not in snapshot.deleted:
        recorded = snapshot.pods.get(status.pod_uid)
        if recorded is None or recorded.has_run:
            name = None if snapshot.template is None else status.pod_name
            return VerifyPods(job.uid, status.pod_uid, name)  # Recorded, never ungated, and not seen yet.
    if exceeds_quota(job) and _is_overtaken(job, snapshot):
        return _hand_over(slot, snapshot)
    failure = _start_failure(slot, job, snapshot.now)
    if failure is not None:
        wait = retry_wait(status.failures + 1)
        return WriteStatus(job, transitions.run_failed(job, failure, wait, snapshot.now))
    # A pod that was created for another slot has used its number.
    last_attempt = max((pod.attempt for pod in snapshot.find_pods(job.uid)), default=0)
    return CreatePod(job, max(status.attempts, last_attempt) + 1, slot.number)


def _is_overtaken(job: Job, snapshot: Snapshot) -> bool:
    """Whether a queued job precedes the holder of a slot that can't start anyway."""
    first = admit(snapshot)
    return first is not None and snapshot.pending.precedes(first, job)


def _start_failure(slot: Slot, job: Job, now: datetime) -> Failure | None:
    """The failure of a run whose pod was refused until its start deadline, as `executor.py` has recorded. Time in which
    it only exceeded a quota does not count: other jobs would have exceeded it too."""
    found = find(job.status, ConditionType.POD_READY)
    if found is None or found.reason != transitions.REFUSED or slot.acquired is None:
        return None
    seconds = job.spec.start_deadline_seconds
    refused_since = max(slot.acquired, aware(found.last_transition_time))
    if now < refused_since + timedelta(seconds=seconds):
        return None
    return Failure(Reason.START_DEADLINE_EXCEEDED, f"No pod could be created within {seconds} s: {found.message}")


def _repair_record(slot: Slot, job: Job, pod: RunnerPod | None, snapshot: Snapshot) -> Action | None:
    """Status and Lease name different pods. Either step 6 is done, or the cached job predates step 3: then writing step
    3 again is refused, which refreshes the cache. The number of the run distinguishes the two."""
    if pod is not None and pod.job_uid == job.uid and is_current_run(pod, job):
        return WriteStatus(job, transitions.starting(job, pod, snapshot.now))
    return _release(slot, snapshot)


# --- 5. Ungate the pod, and 6. supervise the run --------------------------------------------------------------------


def _supervise(job: Job, pod: RunnerPod, snapshot: Snapshot) -> Action | None:
    """Everything until the run has ended."""
    if (outcome := warm_pods.published_outcome(job, pod, snapshot)) is not None:
        return WriteStatus(job, transitions.succeeded(job, outcome, snapshot.now))
    stop = stop_of(job, pod, snapshot.now)
    if stop is not None:
        return _stop(job, pod, stop, snapshot.now)
    if pod.gated:
        return _next_if_alone(pod, UngatePod(pod), snapshot)
    if (giving := warm_pods.give_run(job, pod)) is not None:
        return _next_if_alone(pod, giving, snapshot)
    return _write(job, transitions.running(job, pod, snapshot.progress.get(job.uid), snapshot.now))


def _next_if_alone(pod: RunnerPod, action: Action, snapshot: Snapshot) -> Action | None:
    """Unless another pod is active in the slot, which is possible only if Leases were deleted by hand."""
    other = next((each for each in snapshot.active_pods(pod.slot) if each.uid != pod.uid), None)
    return action if other is None else _remove(other, snapshot)


def _stop(job: Job, pod: RunnerPod, stop: Stop, now: datetime) -> Action | None:
    """Record why, then delete the pod. A job that is being deleted needs no record."""
    if stop.reason != DELETED:
        status = transitions.stopping(job, stop.reason, stop.message, pod, now)
        if transitions.is_changed(job, status):
            return WriteStatus(job, status)
    return None if pod.deleting else DeletePod(pod, stop.message)


def _last_seen(uid: str, snapshot: Snapshot) -> RunnerPod | None:
    """The last state of a deleted pod, if it shows how the run ended, or that it never had it."""
    pod = snapshot.last_seen.get(uid)
    return pod if pod is not None and (pod.terminated or pod.run_ended or pod.disruption or not pod.has_run) else None


# --- 7. Release the slot when its pod is terminated -----------------------------------------------------------------


def _release(slot: Slot, snapshot: Snapshot) -> Action | None:
    """The holder is deleted or unreadable, or the end of its run is recorded: hand over once the pod is terminated."""
    holder = slot.holder
    if holder is not None and not _is_known(holder, snapshot):
        return VerifyHolder(slot)
    if slot.pod_uid is None or slot.pod_uid in snapshot.deleted:
        return _hand_over(slot, snapshot)
    pod = snapshot.pods.get(slot.pod_uid)
    if pod is None:
        return VerifyPods(holder or "", slot.pod_uid, slot.pod_name)
    if pod.terminated or warm_pods.idle_pod(slot, snapshot) is not None:
        return _hand_over(slot, snapshot)
    job = snapshot.jobs.get(holder or "")
    if job is not None and (acknowledging := warm_pods.acknowledge(job, pod, snapshot)) is not None:
        return acknowledging
    if pod.deleting:
        return _report_lost_node(job, pod, snapshot.now)
    if job is not None and _terminates_soon(job, pod, snapshot.now):
        return None
    return DeletePod(pod, "its job is gone or has ended")


def _report_lost_node(job: Job | None, pod: RunnerPod, now: datetime) -> Action | None:
    if job is None or is_finished(job) or not is_on_lost_node(pod, now):
        return None
    return _write(job, transitions.node_lost(job, now))


def _terminates_soon(job: Job, pod: RunnerPod, now: datetime) -> bool:
    """Whether the run has ended and no sidecar keeps the pod alive: its terminal phase follows, and deleting the pod
    would remove its logs. Counted from when the end was recorded, by the API server's clock."""
    ready = find(job.status, ConditionType.POD_READY)
    if not pod.run_ended or pod.sidecar_running or ready is None:
        return False
    return now < aware(ready.last_transition_time) + PHASE_FOLLOWS_WITHIN


def _write(job: Job, status: JobStatus) -> WriteStatus | None:
    return WriteStatus(job, status) if transitions.is_changed(job, status) else None
