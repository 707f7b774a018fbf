"""What a job's own document says about whether it can run. Pure."""

from datetime import datetime

from darkroom_contract.jobs import Job
from darkroom_contract.status import Phase


def is_finished(job: Job) -> bool:
    return job.status.phase is not None and job.status.phase.is_terminal


def may_run(job: Job) -> bool:
    """Whether the job is neither finished, nor being deleted, nor suspended."""
    return not (is_finished(job) or job.deleting or job.spec.suspend)


def is_backing_off(job: Job, now: datetime) -> bool:
    due = job.status.next_attempt_time
    return due is not None and due > now


def has_started(job: Job) -> bool:
    """Whether the status records that the container of the current run has started. A cached pod may be older."""
    return job.status.phase is Phase.RUNNING and job.status.run_start_time is not None
