"""Adds the waits of a job to the trace of the request that created it. Called by `reconcile/executor.py` with each
written status.

- `queue`: until a run is admitted. From the job's creation, whose time has whole seconds; for a later run since the
  last one was requeued.
- `start`: from then until the runner's container runs, with the time to schedule the pod and to pull the image.

The run itself is recorded by the runner. Only jobs with a traceparent have spans.
"""

from datetime import datetime

from darkroom_contract.jobs import Job
from darkroom_contract.status import ConditionType, JobStatus, Phase
from darkroom_contract.tracing.tracing import Attributes, Tracing
from darkroom_operator.status.conditions import find


class JobTraces:
    """Records spans. Forgets, as the operator does, what was before a restart."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing
        self._admitted: dict[str, datetime] = {}
        """When the jobs that start were admitted, by uid; more exactly than their statuses say."""

    def record_change(self, job: Job, after: JobStatus, now: datetime) -> None:
        """`job` has the status before the change."""
        if job.traceparent is None or self._tracing.tracer_provider is None:
            return
        if after.attempts > job.status.attempts:
            self._record("queue", job, after, _queued_since(job), now)
            self._admitted[job.uid] = now
        elif after.phase is not Phase.STARTING:
            admitted = self._admitted.pop(job.uid, None)
            if after.phase is Phase.RUNNING and admitted is not None:
                self._record("start", job, after, admitted, now)

    def _record(self, name: str, job: Job, after: JobStatus, began: datetime, ended: datetime) -> None:
        attributes: Attributes = {
            "darkroom.job.kind": job.kind.value,
            "darkroom.job.name": job.name,
            "darkroom.job.attempt": after.attempts,
            **({} if after.run_start is None else {"darkroom.run.start": after.run_start.value}),
        }
        self._tracing.record(name, began.timestamp(), ended.timestamp(), attributes, job.traceparent)


def _queued_since(job: Job) -> datetime:
    admitted = find(job.status, ConditionType.ADMITTED)
    return job.created if job.status.attempts == 0 or admitted is None else admitted.last_transition_time
