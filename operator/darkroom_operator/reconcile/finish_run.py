"""The status of a job whose run has ended: succeeded, failed, interrupted, suspended or requeued. Pure.

Step 6 of `plan_slot.py`.
"""

from collections.abc import Callable
from datetime import timedelta

from darkroom_contract.jobs import Job
from darkroom_contract.outcome import Outcome, Reason
from darkroom_contract.reasons import ConditionReason
from darkroom_contract.status import ConditionType
from darkroom_operator.pods.pod_outcome import Failure, classify_pod
from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.reconcile.actions import WriteStatus
from darkroom_operator.reconcile.stops import SUSPENDED, recorded_stop
from darkroom_operator.scheduling.admission import awaited_training
from darkroom_operator.scheduling.snapshot import Snapshot
from darkroom_operator.status import transitions
from darkroom_operator.status.conditions import find

RetryWait = Callable[[int], timedelta]
"""The wait before the next run, by the number of failed ones."""

WITHOUT_OUTCOME = (Reason.POD_LOST, Reason.POD_FAILED)


def finish_run(job: Job, pod: RunnerPod | None, snapshot: Snapshot, retry_wait: RetryWait) -> WriteStatus:
    """Finished work counts, even if the run was being stopped. A model that is missing while it is being trained is no
    failure: its training may have been created after the run was admitted."""
    now, outcome, stop = snapshot.now, classify_pod(pod), recorded_stop(job)
    if isinstance(outcome, Outcome):
        return WriteStatus(job, transitions.succeeded(job, outcome, now))
    failure = outcome
    if failure.never_began and stop is None:
        return WriteStatus(job, transitions.requeued_for_new_pod(job, failure, now))
    training = awaited_training(job, snapshot)
    if failure.reason is Reason.MODEL_NOT_FOUND and training is not None:
        return WriteStatus(job, transitions.requeued_for_model(job, failure, training.key, now))
    if stop is not None and stop.reason == SUSPENDED:
        return WriteStatus(job, transitions.run_suspended(job, failure, now))
    if stop is not None:
        failure = Failure(Reason(stop.reason), stop.message)
    if failure.interrupted or (failure.reason in WITHOUT_OUTCOME and _was_ended_from_outside(job)):
        wait = _interruption_wait(job, failure, retry_wait)
        return WriteStatus(job, transitions.run_interrupted(job, failure, wait, now))
    return WriteStatus(job, transitions.run_failed(job, failure, retry_wait(job.status.failures + 1), now))


def _was_ended_from_outside(job: Job) -> bool:
    """Whether the status says that the node did not respond or that the pod was being deleted. The operator records a
    reason of its own before it deletes a pod."""
    ready = find(job.status, ConditionType.POD_READY)
    return ready is not None and ready.reason in (ConditionReason.NODE_LOST, ConditionReason.TERMINATING)


def _interruption_wait(job: Job, interruption: Failure, retry_wait: RetryWait) -> timedelta:
    """Interruptions without progress are followed by growing waits: a run that exhausts the memory of its node is
    evicted again and again, and nothing else slows it down."""
    has_progressed = (interruption.saved_step or 0) > (job.status.saved_step or 0)
    return retry_wait(1 if has_progressed else job.status.interruptions + 1)
