"""The next step for one slot: the snapshot in, at most one action out. Pure.

A run goes through these steps, each a single request, each decided anew from what there is; so a crash between any two
of them is nothing special, and neither is a second operator that takes the same ones.

1. The slot is assigned to a job: an update of its Lease that names the version it was decided on.
2. The run's pod is made, with a scheduling gate: it can't run yet.
3. The job's status says so, with the pod's uid; refused if the job has changed.
4. The pod's uid is written into the Lease; refused if the slot changed hands since 1.
5. The gate is removed. Whatever an operator with an old view of things does from here on meets a refusal at 3 or 4.
6. The run ends, or is ended. Its outcome is written into the job's status, as soon as the runner's container has ended;
   a pod that another container keeps alive is deleted.
7. The slot goes to the next job: only when the pod named in the Lease is over or gone, and no other pod is alive.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from darkroom_contract.jobs import Job
from darkroom_contract.outcome import Outcome, Reason
from darkroom_contract.reasons import ConditionReason
from darkroom_contract.status import ConditionType, JobStatus
from darkroom_operator.kube.objects import aware
from darkroom_operator.pods.pod_outcome import Failure, classify_pod
from darkroom_operator.pods.runner_pod import RunnerPod
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
from darkroom_operator.reconcile.stops import DELETED, SUSPENDED, Stop, recorded_stop, stop_of
from darkroom_operator.scheduling.admission import (
    admit,
    awaited_training,
    claims,
    is_backing_off,
    is_due,
    is_recorded,
    may_run,
)
from darkroom_operator.scheduling.queue import is_finished, queue_key
from darkroom_operator.scheduling.slot import Slot
from darkroom_operator.scheduling.snapshot import Snapshot
from darkroom_operator.status import transitions
from darkroom_operator.status.conditions import find
from darkroom_operator.status.pod_condition import is_on_lost_node

RetryWait = Callable[[int], timedelta]
"""The wait before the next run, after so many failed ones."""


WITHOUT_OUTCOME = (Reason.POD_LOST, Reason.POD_FAILED)
PHASE_FOLLOWS_WITHIN = timedelta(seconds=60)
"""From the end of a pod's only container to its terminal phase a kubelet took 1.6 s at most."""


def plan_slot(slot: Slot, snapshot: Snapshot, retry_wait: RetryWait) -> Action | None:
    """What to do for a slot now; None when there is only waiting."""
    if slot.holder is None:
        return _hand_on(slot, snapshot)
    job = snapshot.jobs.get(slot.holder)
    if job is None:
        return _without_job(slot, snapshot)
    if slot.pod_uid is None:
        return _prepare(slot, job, snapshot, retry_wait)
    if is_finished(job):  # Step 6 is done.
        return _without_job(slot, snapshot)
    pod = snapshot.pods.get(slot.pod_uid)
    if pod is None and slot.pod_uid not in snapshot.deleted:
        return VerifyPods(job.uid, slot.pod_uid)
    if (job.status.slot, job.status.pod_uid) != (slot.number, slot.pod_uid):
        return _recorded_otherwise(slot, job, pod, snapshot)
    if pod is None or pod.terminated or pod.run_ended:
        return _end(job, pod or _last_seen(slot.pod_uid, snapshot), snapshot, retry_wait)
    return _supervise(job, pod, snapshot.now, snapshot)


def _last_seen(uid: str, snapshot: Snapshot) -> RunnerPod | None:
    """The last state of a pod that is gone, if it says how the run ended."""
    pod = snapshot.last_seen.get(uid)
    return pod if pod is not None and (pod.terminated or pod.run_ended or pod.disruption) else None


def _recorded_otherwise(slot: Slot, job: Job, pod: RunnerPod | None, snapshot: Snapshot) -> Action | None:
    """Either step 6 is done, or what is known of the job is older than step 3: writing step 3 again tells, since an old
    view is refused. The numbers of the runs tell the two apart."""
    if pod is not None and pod.job_uid == job.uid and is_due(pod, job):
        return WriteStatus(job, transitions.starting(job, pod, snapshot.now))
    return _without_job(slot, snapshot)


def _without_job(slot: Slot, snapshot: Snapshot) -> Action | None:
    """The holder is gone, can't be read, or its run's end is written down: the slot is free once its pod is over."""
    holder = slot.holder
    if holder is not None and not _is_known(holder, snapshot):
        return VerifyHolder(slot)
    if slot.pod_uid is None or slot.pod_uid in snapshot.deleted:
        return _hand_on(slot, snapshot)
    pod = snapshot.pods.get(slot.pod_uid)
    if pod is None:
        return VerifyPods(holder or "", slot.pod_uid)
    if pod.terminated:
        return _hand_on(slot, snapshot)
    job = snapshot.jobs.get(holder or "")
    if pod.deleting:
        return _tell_of_silent_node(job, pod, snapshot.now)
    if job is not None and _is_about_to_be_over(job, pod, snapshot.now):
        return None
    return DeletePod(pod, "its job is gone or has ended")


def _tell_of_silent_node(job: Job | None, pod: RunnerPod, now: datetime) -> Action | None:
    if job is None or is_finished(job) or not is_on_lost_node(pod, now):
        return None
    return _write(job, transitions.node_lost(job, now))


def _is_about_to_be_over(job: Job, pod: RunnerPod, now: datetime) -> bool:
    """The run has ended and no other container keeps the pod alive: its phase follows, and its logs can stay. Counted
    from when its end was written down, by the same clock as the present."""
    ready = find(job.status, ConditionType.POD_READY)
    if not pod.run_ended or pod.sidecar_running or ready is None:
        return False
    return now < aware(ready.last_transition_time) + PHASE_FOLLOWS_WITHIN


def _is_known(uid: str, snapshot: Snapshot) -> bool:
    return uid in snapshot.jobs or uid in snapshot.broken or uid in snapshot.deleted


def _hand_on(slot: Slot, snapshot: Snapshot) -> Action | None:
    """The slot is free, but for runs that never gave it back, as after somebody deleted the Lease."""
    job = next(_claimants(slot, snapshot), None)
    if job is not None:
        return AssignSlot(slot, job)
    for pod in snapshot.pods.values():
        if pod.slot == slot.number and _is_in_the_way(pod, slot):
            return _clear(pod, snapshot)
    job = admit(snapshot) if slot.number < snapshot.slot_count and not _others_have_no_room(slot, snapshot) else None
    return None if job is None and slot.holder is None else AssignSlot(slot, job)


def _others_have_no_room(slot: Slot, snapshot: Snapshot) -> bool:
    """Whether the holder of another slot waits for room in a quota: whoever is admitted meanwhile could only take it
    away."""
    others = (snapshot.jobs.get(each.holder) for each in snapshot.slots.values() if each.holder and each != slot)
    return any(job is not None and _has_no_room(job) for job in others)


def _has_no_room(job: Job) -> bool:
    """Whether a quota refused the pod of the job's next run, as `requests.py` has written down."""
    admitted, ready = find(job.status, ConditionType.ADMITTED), find(job.status, ConditionType.POD_READY)
    return admitted is not None and admitted.reason == transitions.QUOTA_EXCEEDED and ready is None


def _claimants(slot: Slot, snapshot: Snapshot) -> Iterator[Job]:
    """Jobs with a run that was let go in this slot, and whose end is not written down yet."""
    for pod in snapshot.pods.values():
        job = snapshot.jobs.get(pod.job_uid)
        if pod.slot == slot.number and not pod.gated and job is not None and claims(job, pod):
            yield job


def _is_in_the_way(pod: RunnerPod, slot: Slot) -> bool:
    """Whether the pod runs, or might be let go by an operator that has seen a Lease which is gone now."""
    return pod.active or (slot.uid is None and not pod.terminated)


def _clear(pod: RunnerPod, snapshot: Snapshot) -> Action | None:
    if not _is_known(pod.job_uid, snapshot):
        return VerifyJob(pod)
    return None if pod.deleting else DeletePod(pod, "it does not hold its slot")


def _prepare(slot: Slot, job: Job, snapshot: Snapshot, retry_wait: RetryWait) -> Action | None:
    """Steps 2 to 4: the slot is the job's, and no pod was confirmed in it yet."""
    due = [pod for pod in snapshot.pods_of(job.uid) if pod.slot == slot.number and is_due(pod, job)]
    pod = max(due, key=lambda each: (not each.gated, each.attempt), default=None)
    was_let_go = pod is not None and not pod.gated and claims(job, pod)
    others = [each for each in snapshot.active_pods(slot.number) if each.job_uid != job.uid]
    if others or not (was_let_go or _may_begin(slot, job, snapshot)):
        return _hand_on(slot, snapshot)
    if pod is None:
        return _make(slot, job, snapshot, retry_wait)
    if pod.gated and pod.deleting:
        return None
    return (
        ConfirmPod(slot, pod)
        if is_recorded(pod, job)
        else WriteStatus(job, transitions.starting(job, pod, snapshot.now))
    )


def _may_begin(slot: Slot, job: Job, snapshot: Snapshot) -> bool:
    ready = may_run(job) and not is_backing_off(job, snapshot.now) and awaited_training(job, snapshot) is None
    return ready and job.uid not in snapshot.refused and job.status.slot in (None, slot.number)


def _make(slot: Slot, job: Job, snapshot: Snapshot, retry_wait: RetryWait) -> Action | None:
    """Run number `attempts` may have a pod that was recorded, never let go, and not seen yet."""
    status = job.status
    if status.slot == slot.number and status.pod_uid is not None and status.pod_uid not in snapshot.deleted:
        return VerifyPods(job.uid, status.pod_uid)
    if _has_no_room(job) and _is_overtaken(job, snapshot):
        return _hand_on(slot, snapshot)
    refusal = _refusal(slot, job, snapshot.now)
    if refusal is not None:
        return WriteStatus(job, transitions.run_failed(job, refusal, retry_wait(status.failures + 1), snapshot.now))
    # A pod that was made for another slot has its number already.
    taken = max((pod.attempt for pod in snapshot.pods_of(job.uid)), default=0)
    return CreatePod(job, max(status.attempts, taken) + 1, slot.number)


def _is_overtaken(job: Job, snapshot: Snapshot) -> bool:
    """Whether somebody waits who comes before the holder of a slot that can't begin anyway."""
    first = admit(snapshot)
    return first is not None and queue_key(first) < queue_key(job)


def _refusal(slot: Slot, job: Job, now: datetime) -> Failure | None:
    """The failure of a run whose pod was refused, as `requests.py` has written down, until it was too late. Time in
    which only a quota had no room does not count: it would have had none for others either."""
    found = find(job.status, ConditionType.POD_READY)
    if found is None or found.reason != transitions.REFUSED or slot.acquired is None:
        return None
    seconds = job.spec.start_deadline_seconds
    begun = max(slot.acquired, aware(found.last_transition_time))
    if now < begun + timedelta(seconds=seconds):
        return None
    return Failure(Reason.START_DEADLINE_EXCEEDED, f"No pod could be made within {seconds} s: {found.message}")


def _supervise(job: Job, pod: RunnerPod, now: datetime, snapshot: Snapshot) -> Action | None:
    """Step 5, and all the time until the pod is over."""
    stop = stop_of(job, pod, now)
    if stop is not None:
        return _stop(job, pod, stop, now)
    if pod.gated:
        return _release(pod, snapshot)
    return _write(job, transitions.running(job, pod, snapshot.progress.get(job.uid), now))


def _release(pod: RunnerPod, snapshot: Snapshot) -> Action | None:
    """Unless another pod runs in the slot; there can be one only if Leases were deleted by hand."""
    other = next((each for each in snapshot.active_pods(pod.slot) if each.uid != pod.uid), None)
    return UngatePod(pod) if other is None else _clear(other, snapshot)


def _stop(job: Job, pod: RunnerPod, stop: Stop, now: datetime) -> Action | None:
    if stop.reason != DELETED:
        status = transitions.stopping(job, stop.reason, stop.message, pod, now)
        if transitions.is_changed(job, status):
            return WriteStatus(job, status)
    return None if pod.deleting else DeletePod(pod, stop.message)


def _end(job: Job, pod: RunnerPod | None, snapshot: Snapshot, retry_wait: RetryWait) -> Action:
    """Step 6. Work that was finished counts, even if it was to be stopped. A model that is missing while it is being
    trained is no failure: a training may have been created while the run began."""
    now, verdict, stop = snapshot.now, classify_pod(pod), recorded_stop(job)
    if isinstance(verdict, Outcome):
        return WriteStatus(job, transitions.succeeded(job, verdict, now))
    training = awaited_training(job, snapshot)
    if verdict.reason is Reason.MODEL_NOT_FOUND and training is not None:
        return WriteStatus(job, transitions.requeued_for_model(job, verdict, training.key, now))
    if stop is not None and stop.reason == SUSPENDED:
        return WriteStatus(job, transitions.run_suspended(job, verdict, now))
    if stop is not None:
        verdict = Failure(Reason(stop.reason), stop.message)
    if verdict.interrupted or (verdict.reason in WITHOUT_OUTCOME and _ended_from_outside(job)):
        return WriteStatus(job, transitions.run_interrupted(job, verdict, _wait_after(job, verdict, retry_wait), now))
    return WriteStatus(job, transitions.run_failed(job, verdict, retry_wait(job.status.failures + 1), now))


def _ended_from_outside(job: Job) -> bool:
    """Whether the job says that its node does not answer, or that somebody deletes its pod: before the operator deletes
    one itself, it writes down why."""
    ready = find(job.status, ConditionType.POD_READY)
    return ready is not None and ready.reason in (ConditionReason.NODE_LOST, ConditionReason.TERMINATING)


def _wait_after(job: Job, interruption: Failure, retry_wait: RetryWait) -> timedelta:
    """Interruptions without progress are followed by growing waits: a run that fills its node's memory is evicted again
    and again, and nothing else would slow it down."""
    progressed = (interruption.saved_step or 0) > (job.status.saved_step or 0)
    return retry_wait(1 if progressed else job.status.interruptions + 1)


def _write(job: Job, status: JobStatus) -> WriteStatus | None:
    return WriteStatus(job, status) if transitions.is_changed(job, status) else None
