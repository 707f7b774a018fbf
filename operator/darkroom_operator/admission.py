"""Whom to admit, and what a job may do. Pure: the world in, an order of jobs out. Used by `steps.py` and `chores.py`.

Order: priority, then creation time, then uid. A job that waits to be tried again, is suspended or is on its way out
does not stand in the queue.
"""

from datetime import datetime

from darkroom_contract.jobs import Job
from darkroom_operator.line import is_finished
from darkroom_operator.runner_pod import RunnerPod
from darkroom_operator.world import World


def may_run(job: Job) -> bool:
    """Whether nothing in the job itself speaks against running it."""
    return not (is_finished(job) or job.deleting or job.spec.suspend)


def is_backing_off(job: Job, now: datetime) -> bool:
    due = job.status.next_attempt_time
    return due is not None and due > now


def is_recorded(pod: RunnerPod, job: Job) -> bool:
    """Whether the job's status says that it runs as this pod."""
    return (job.status.slot, job.status.pod_uid) == (pod.slot, pod.uid)


def is_due(pod: RunnerPod, job: Job) -> bool:
    """Whether the pod is of the job's present or next run, and not left from an earlier one."""
    return is_recorded(pod, job) or pod.attempt > job.status.attempts


def claims(job: Job, pod: RunnerPod) -> bool:
    """Whether the pod is a run of the job that was let go, and whose end is not written down yet: until then the slot
    is the job's, whatever became of the Lease."""
    return not pod.gated and not is_finished(job) and is_due(pod, job)


def is_queued(job: Job, world: World) -> bool:
    """Whether the job waits for a slot and would take one now. One whose status names a slot that it lost is told so
    first."""
    unheld = job.uid not in world.holders and job.status.slot is None
    return unheld and may_run(job) and not is_backing_off(job, world.now)


def queue(world: World) -> list[Job]:
    """The jobs that wait for a slot, the next one first."""
    return [job for job in world.line if is_queued(job, world)]


def admit(world: World) -> Job | None:
    """The job that a free slot goes to."""
    return next((job for job in world.line if is_queued(job, world)), None)
