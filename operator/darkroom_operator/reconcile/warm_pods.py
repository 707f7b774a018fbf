"""Warm hand-over: the idle pod of a slot, and how the next job takes it over. Pure; used by `plan_slot.py`.

A run that ended well may leave its process waiting for the next run. Its outcome comes signed by Redis, and
`plan_slot.py` writes it into the job's status as step 6. From there each step is again a single refusable request:

a. Acknowledge: an annotation reports to the pod that its outcome is recorded. It is idle. Refused if it has changed.
b. Assign: the slot's Lease names the next job, if there is one, and keeps the idle pod's uid (`Slot.idle_pod_uid`).
c. Take over: the pod gets labels and owner of the job's next run. Refused if it has changed.
d. Record, as step 3, and confirm, as step 4: the Lease names the pod as its holder's, and no idle pod.
e. Give: the run document is written to the pod's annotation. Refused if it has changed since c.

A pod that the Lease names as idle has no run document that its process has not carried out: only e. writes one, only
after d., and after d. the slot is passed on only when the pod is gone, or has reported the end of that run. So the pod
may be given to another job at any step before d. It never runs beside another pod: as long as it exists, it is active,
and no pod of its slot is ungated.

The idle pod keeps the owner reference to its last job until it is taken over, and is deleted with it. A pod with the
template of a new one suits every job. All run documents fit an annotation: specs have at most 112 KiB, and the
annotations of an object 256 KiB.
"""

from darkroom_contract.jobs import Job
from darkroom_contract.outcome import Outcome
from darkroom_contract.status import Phase
from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.reconcile.actions import AcknowledgeRun, GiveRun, TakeOverPod, VerifyPods
from darkroom_operator.reconcile.other_slots import other_slot_exceeds_quota, other_slot_is_unschedulable
from darkroom_operator.scheduling.admission import is_current_run
from darkroom_operator.scheduling.slot import Slot
from darkroom_operator.scheduling.snapshot import Snapshot


def verify_idle_pod(slot: Slot, snapshot: Snapshot) -> VerifyPods | None:
    """Look the idle pod up, if no watch has delivered it: it may be running."""
    uid = slot.idle_pod_uid
    if uid is None or slot.pod_uid is not None or uid in snapshot.pods or uid in snapshot.deleted:
        return None
    return VerifyPods(None, uid, slot.pod_name)


def idle_pod(slot: Slot, snapshot: Snapshot) -> RunnerPod | None:
    """The pod that the slot's next holder takes over; None if it has none, or one that takes over no run."""
    uid = slot.idle_pod_uid if slot.pod_uid is None else slot.pod_uid
    pod = snapshot.pods.get(uid or "")
    if pod is None or pod.slot != slot.number or slot.number >= snapshot.slot_count:
        return None
    waits = not pod.has_run or pod.is_idle if slot.pod_uid is None else pod.is_idle and pod.job_uid == slot.holder
    return pod if waits and _may_take_over(pod, snapshot) else None


def _may_take_over(pod: RunnerPod, snapshot: Snapshot) -> bool:
    """Whether a pod that was created now would be the same, and this one lives, is ours alone, no other slot waits for
    its quota or GPU, and its job exists."""
    if pod.template != snapshot.template or not pod.template or pod.foreign or not pod.started:
        return False
    if pod.deleting or pod.run_ended or pod.terminated or pod.node_lost or pod.disruption:
        return False
    if other_slot_exceeds_quota(pod.slot, snapshot) or other_slot_is_unschedulable(pod.slot, snapshot):
        return False
    job = snapshot.jobs.get(pod.job_uid)
    return job is not None and not job.deleting


def acknowledge(job: Job, pod: RunnerPod, snapshot: Snapshot) -> AcknowledgeRun | None:
    """Step a., once per run. None also if the pod can't stay.

    A job that has succeeded while its process lives can only have reported that by Redis: the process waits.
    """
    is_last_run = (job.uid, job.status.pod_uid, job.status.attempts) == (pod.job_uid, pod.uid, pod.attempt)
    if pod.is_idle or job.status.phase is not Phase.SUCCEEDED or not is_last_run:
        return None
    return AcknowledgeRun(pod) if _may_take_over(pod, snapshot) else None


def take_over(job: Job, pod: RunnerPod, snapshot: Snapshot) -> TakeOverPod | None:
    """Step c.; None if it is done."""
    if pod.job_uid == job.uid and is_current_run(pod, job):
        return None
    last_attempt = max((each.attempt for each in snapshot.find_pods(job.uid)), default=0)
    return TakeOverPod(pod, job, max(job.status.attempts, last_attempt) + 1)


def give_run(job: Job, pod: RunnerPod) -> GiveRun | VerifyPods | None:
    """Step e., once the Lease and the job's status name the pod; None if it has its run document.

    None also for a pod that is about to leave, or whose node is lost: a run that it does not have was not begun, and is
    repeated at once. A pod that waits under the labels of another job is a stale view: it was taken over.
    """
    if pod.job_uid != job.uid and (pod.is_idle or not pod.has_run):
        return VerifyPods(None, pod.uid, pod.name)
    is_leaving = pod.deleting or pod.node_lost or pod.disruption
    return None if pod.has_run or is_leaving else GiveRun(pod, job)


def published_outcome(job: Job, pod: RunnerPod, snapshot: Snapshot) -> Outcome | None:
    """The outcome of the job's run, if its process waits for the next one."""
    found = snapshot.outcomes.get(pod.uid)
    if found is None or not pod.has_run or (found.job_uid, found.attempt) != (job.uid, job.status.attempts):
        return None
    return found.outcome if (pod.job_uid, pod.attempt) == (job.uid, job.status.attempts) else None
