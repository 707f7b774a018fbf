"""Which job gets a free slot. Pure: a snapshot in, jobs out.

The order is that of the queue policy. A job that is suspended, backing off or being deleted is not queued. A generation
with LoRAs waits for every unfinished training of their models, wherever they are in the queue. A training that
continues from a LoRA waits only for trainings of that model that are older, so that two trainings never wait for each
other. A saved step, such as `my-dog@200`, is used as it is: no job waits for it.
"""

from datetime import datetime, timedelta

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind, step_of_reference
from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.scheduling.job_state import is_backing_off, is_finished, may_run
from darkroom_operator.scheduling.slot import Slot
from darkroom_operator.scheduling.snapshot import Snapshot

TRAINING_FOLLOWS_WITHIN = timedelta(seconds=1.5)
"""`kubectl apply` creates the jobs of one file within half a second, and creation timestamps have whole seconds."""

CLOCK_TOLERANCE = timedelta(seconds=2)


def is_recorded(pod: RunnerPod, job: Job) -> bool:
    """Whether the job's status names this pod as its run."""
    return (job.status.slot, job.status.pod_uid) == (pod.slot, pod.uid)


def is_current_run(pod: RunnerPod, job: Job) -> bool:
    """Whether the pod is the job's recorded or next run, not one of an earlier attempt."""
    return is_recorded(pod, job) or pod.attempt > job.status.attempts


def owns_slot(job: Job, pod: RunnerPod) -> bool:
    """Whether the pod is an ungated run of the job whose end is not in the status yet. Until it is, the slot belongs to
    the job, whatever happens to the Lease. A warm pod that does not have the job's run document yet is no run of it."""
    return not pod.gated and pod.has_run and not is_finished(job) and is_current_run(pod, job)


def is_queued(job: Job, snapshot: Snapshot, released: Slot | None = None) -> bool:
    """Whether the job waits only for a slot or a model. A status that still names a lost slot is corrected first.

    The holder of the slot that is being released is queued like any other job.
    """
    return (
        job.status.slot is None
        and not _holds_slot(job, snapshot, released)
        and may_run(job)
        and not is_backing_off(job, snapshot.now)
        and job.uid not in snapshot.rejected
    )


def _holds_slot(job: Job, snapshot: Snapshot, released: Slot | None) -> bool:
    """Whether a Lease names the job: of the slot that is being released only until the end of the run is recorded."""
    if job.uid not in snapshot.holders:
        return False
    if released is None or job.status.pod_uid is None or job.status.pod_uid != released.pod_uid:
        return True
    return [each for each in snapshot.slots.values() if each.holder == job.uid] != [released]


def awaited_models(job: Job) -> tuple[str, ...]:
    """The models of the job whose trainings it waits for: all but saved steps."""
    references = job.spec.model_references
    return tuple(each for each in references if step_of_reference(each) is None) if references else ()


def awaited_training(job: Job, snapshot: Snapshot) -> Job | None:
    """The last unfinished training of the models that the job needs; None if there is none to wait for."""
    if not snapshot.pending.trained_models:
        return None
    models = awaited_models(job)
    if not models:
        return None
    if job.kind is Kind.GENERATE:
        trainings = [found for each in models if (found := snapshot.last_trainings.get(each)) is not None]
    else:
        trainings = [found for each in models for found in snapshot.pending.trainings_before(job, each)]
    last: Job | None = None
    for training in trainings:
        if last is None or snapshot.pending.precedes(last, training):
            last = training
    return last


def queued_jobs(snapshot: Snapshot) -> list[Job]:
    """The jobs that wait for a slot, the next one first."""
    return [job for job, _ in queued_with_trainings(snapshot)]


def queued_with_trainings(snapshot: Snapshot) -> list[tuple[Job, Job | None]]:
    """The jobs that wait for a slot, the next one first, each with the training that it waits for.

    A job that waits for trainings comes directly after the last of them, even if that training is suspended or backing
    off: so it always has a position.
    """
    if not snapshot.pending.trained_models:  # The usual state of a long queue, in half the time.
        return [(job, None) for job in snapshot.pending if is_queued(job, snapshot)]
    waiting_for: dict[str, list[tuple[Job, Job | None]]] = {}
    ordered: list[tuple[Job, Job | None]] = []
    placed = set[str](snapshot.holders)
    for first in snapshot.pending:
        training = awaited_training(first, snapshot)
        if training is not None and training.uid not in placed:
            waiting_for.setdefault(training.uid, []).append((first, training))
            continue
        following = [(first, training)]
        while following:
            job, awaited = following.pop()
            placed.add(job.uid)
            if is_queued(job, snapshot):
                ordered.append((job, awaited))
            following += reversed(waiting_for.pop(job.uid, []))
    return ordered


def next_candidate(snapshot: Snapshot, released: Slot | None = None) -> Job | None:
    """The first queued job that does not wait for a training."""
    queued = (job for job in snapshot.pending if is_queued(job, snapshot, released))
    return next((job for job in queued if awaited_training(job, snapshot) is None), None)


def admit(snapshot: Snapshot, released: Slot | None = None) -> Job | None:
    """The job that a free slot, or one that is being released, is assigned to. None also while the candidate is too
    young: no other overtakes it."""
    job = next_candidate(snapshot, released)
    return None if job is None or is_too_young(job, snapshot.now) else job


def is_too_young(job: Job, now: datetime) -> bool:
    """Whether the job has to wait for its admissible moment. A creation time in the future comes from a clock that was
    corrected since, and is ignored."""
    return job.created <= now + CLOCK_TOLERANCE and now < admissible_from(job)


def admissible_from(job: Job) -> datetime:
    """A generation with a LoRA waits a moment: one file may create a training of its model directly after it."""
    needs_a_model = job.kind is Kind.GENERATE and bool(awaited_models(job))
    return job.created + TRAINING_FOLLOWS_WITHIN if needs_a_model else job.created
