"""Reason and message of the condition Admitted while a job holds no slot. Pure; used by `transitions.py`."""

from datetime import datetime

from darkroom_contract.jobs import Job
from darkroom_operator.scheduling.admission import awaited_models
from darkroom_operator.scheduling.queue_position import QueuePosition


def not_admitted(job: Job, position: QueuePosition | None, training: str | None) -> tuple[str, str]:
    """Reason and message. `training` is an unfinished training that a job without a position waits for."""
    due = job.status.next_attempt_time
    if job.spec.suspend:
        return "Suspended", "spec.suspend is true. Set it to false to queue the job again."
    training = training if position is None else position.training
    if training is not None:
        message = f"Waiting for {training}, which trains {_awaited(job)}."
        return "WaitingForModel", message if position is None else f"{_position_text(position)}. {message}"
    if position is None:
        return ("Queued", "The job returns to the queue.") if due is None else ("BackingOff", backing_off(job, due))
    holds = position.waiting_for is not None and position.is_exact
    holder = f"; {position.waiting_for} holds the slot" if holds else ""
    return "Queued", f"{_position_text(position)}{holder}."


def _awaited(job: Job) -> str:
    models = awaited_models(job)
    return f"the model {models[0]}" if len(models) == 1 else f"one of the models {', '.join(models)}"


def backing_off(job: Job, due: datetime) -> str:
    return f"Run {job.status.attempts} has ended. The next one can start at {due.strftime('%H:%M:%S UTC')}."


def _position_text(position: QueuePosition) -> str:
    approximately = "" if position.is_exact else "about "
    return f"Position {approximately}{position.index} in the queue"
