"""Reason and message of the condition Admitted while a job holds no slot. Pure."""

from datetime import datetime

from darkroom_contract.jobs import Job
from darkroom_operator.scheduling.queue_position import QueuePosition


def why_it_waits(job: Job, place: QueuePosition | None, training: str | None) -> tuple[str, str]:
    """Reason and message of the condition Admitted of a job that holds no slot."""
    due = job.status.next_attempt_time
    if job.spec.suspend:
        return "Suspended", "spec.suspend is true: set it to false to queue the job again."
    training = training if place is None else place.training
    if training is not None:
        words = f"{training}, which trains the model {job.spec.model_id}, has to finish first."
        return "WaitingForModel", words if place is None else f"{_words_of(place)}. {words}"
    if place is None:
        return ("Queued", "The job goes back into the queue.") if due is None else ("BackingOff", backing_off(job, due))
    holder = f"; {place.waiting_for} holds the slot" if place.waiting_for is not None and place.is_exact else ""
    return "Queued", f"{_words_of(place)}{holder}."


def backing_off(job: Job, due: datetime) -> str:
    return f"Run {job.status.attempts} has ended; the next one may begin at {_clock(due)}."


def _words_of(place: QueuePosition) -> str:
    return f"Number {place.position} in the queue" if place.is_exact else f"About number {place.position} in the queue"


def _clock(moment: datetime) -> str:
    return moment.strftime("%H:%M:%S UTC")
