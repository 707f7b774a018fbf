"""Which job gets a free slot. Pure: a snapshot in, an order of jobs out.

Order: `line.queue_key`. A job that waits to be tried again, is suspended or is on its way out does not stand in the
queue. A generation with a LoRA waits for every unfinished training of that model, wherever the two stand.
"""

from datetime import datetime, timedelta

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.scheduling.queue import is_finished, queue_key
from darkroom_operator.scheduling.snapshot import Snapshot

TRAINING_FOLLOWS_WITHIN = timedelta(seconds=1.5)
"""At least half a second, as creation times have whole seconds: `kubectl apply` creates the jobs of a file in less."""

CLOCK_TOLERANCE = timedelta(seconds=2)


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


def is_queued(job: Job, snapshot: Snapshot) -> bool:
    """Whether the job waits for a slot, and only for a slot or for a model. A status that still names a lost slot is
    corrected first."""
    unheld = job.uid not in snapshot.holders and job.status.slot is None
    return unheld and may_run(job) and not is_backing_off(job, snapshot.now) and job.uid not in snapshot.refused


def awaited_training(job: Job, snapshot: Snapshot) -> Job | None:
    """The last unfinished training of the model that the job needs. None for a training or without a LoRA."""
    model_id = job.spec.model_id
    return None if job.kind is not Kind.GENERATE or model_id is None else snapshot.last_trainings.get(model_id)


def queue(snapshot: Snapshot) -> list[Job]:
    """The jobs that wait for a slot, the next one first.

    A generation that waits for trainings stands behind where the last of them stands, or would stand if it were not
    suspended or backing off: it keeps a place, whatever becomes of that training.
    """
    behind: dict[str, list[Job]] = {}
    placed: list[Job] = []
    for job in snapshot.line:
        training = awaited_training(job, snapshot)
        if training is not None and training.uid not in snapshot.holders and queue_key(training) > queue_key(job):
            if is_queued(job, snapshot):
                behind.setdefault(training.uid, []).append(job)
            continue
        if is_queued(job, snapshot):
            placed.append(job)
        placed += behind.pop(job.uid, [])
    return placed


def candidate(snapshot: Snapshot) -> Job | None:
    """The first of the queue that waits for no training."""
    return next(
        (job for job in snapshot.line if is_queued(job, snapshot) and awaited_training(job, snapshot) is None), None
    )


def admit(snapshot: Snapshot) -> Job | None:
    """The job that a free slot goes to. Nobody overtakes a candidate that is only a moment too young."""
    job = candidate(snapshot)
    return None if job is None or is_too_young(job, snapshot.now) else job


def is_too_young(job: Job, now: datetime) -> bool:
    """One that was created in the future was created by a clock that is set right since."""
    return job.created <= now + CLOCK_TOLERANCE and now < admissible_from(job)


def admissible_from(job: Job) -> datetime:
    """A generation with a LoRA waits a moment: a training of its model may be created right behind it, by one file."""
    needs_a_model = job.kind is Kind.GENERATE and job.spec.model_id is not None
    return job.created + TRAINING_FOLLOWS_WITHIN if needs_a_model else job.created
