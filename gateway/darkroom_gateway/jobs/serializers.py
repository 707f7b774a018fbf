"""Turns a job into the response schemas. Pure.

`root_path` is the prefix under which a proxy publishes the gateway, or empty. All links begin with it.
"""

from datetime import UTC, datetime
from urllib.parse import urlencode

from pydantic.alias_generators import to_snake

from darkroom_contract.jobs import Job
from darkroom_contract.names import FINALIZER_FILES, LABEL_DELETE_FILES, LABEL_SUBMITTED_BY, Kind
from darkroom_contract.progress import ProgressEvent
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.status import ConditionStatus, ConditionType, Phase, ProgressStatus, QueueStatus
from darkroom_gateway.jobs.schemas import (
    ConditionAnswer,
    Failure,
    JobAnswer,
    LoraAnswer,
    ProgressAnswer,
    Queue,
    RemarkAnswer,
    TaskAccepted,
)

STATUS_PATHS = {Kind.TRAIN: "/result", Kind.GENERATE: "/images"}


def status_url(job: Job, root_path: str) -> str:
    return f"{root_path}{STATUS_PATHS[job.kind]}?{urlencode({'task_id': job.name})}"


def events_url(job: Job, root_path: str) -> str:
    return f"{root_path}/jobs/{job.name}/events?{urlencode({'kind': job.kind.value})}"


def accepted(job: Job, root_path: str) -> TaskAccepted:
    return TaskAccepted(
        task_id=job.name,
        kind=job.kind,
        model_id=job.spec.model_id,
        loras=loras_of(job),
        status_url=status_url(job, root_path),
        job_url=f"{root_path}/jobs/{job.name}?{urlencode({'kind': job.kind.value})}",
        events_url=events_url(job, root_path),
    )


def loras_of(job: Job) -> list[LoraAnswer]:
    """The LoRAs of a generation; none for a training."""
    if not isinstance(job.spec, GenerateJobSpec):
        return []
    return [LoraAnswer(model_id=each.model_id, uri=each.uri, scale=each.scale) for each in job.spec.used_loras]


def phase_of(job: Job) -> Phase:
    """The job's phase. A job that the operator has not seen yet is queued."""
    return job.status.phase or Phase.QUEUED


def job_answer(job: Job, root_path: str) -> JobAnswer:
    """A job of either kind, without its files. Seconds are counted from now."""
    status = job.status
    return JobAnswer(
        task_id=job.name,
        kind=job.kind,
        phase=phase_of(job),
        prompt=job.spec.prompt,
        model_id=job.spec.model_id,
        loras=loras_of(job),
        priority=job.spec.priority,
        submitted_by=job.labels.get(LABEL_SUBMITTED_BY),
        created=job.created,
        started=status.start_time,
        completed=status.completion_time,
        deleting=job.deleting,
        deletes_files=job.labels.get(LABEL_DELETE_FILES) == "true" or FINALIZER_FILES in job.finalizers,
        attempts=status.attempts,
        run_start=status.run_start,
        next_attempt=status.next_attempt_time,
        queue=None if status.queue is None else queue_answer(status.queue, datetime.now(UTC)),
        progress=None if status.progress is None else progress_answer(status.progress),
        failure=_failure(job),
        remarks=[RemarkAnswer.model_validate(each.model_dump()) for each in status.remarks or ()],
        conditions=[ConditionAnswer.model_validate(each.model_dump()) for each in status.conditions],
        status_url=status_url(job, root_path),
        events_url=events_url(job, root_path),
    )


def progress_answer(progress: ProgressStatus | ProgressEvent) -> ProgressAnswer:
    """Progress from the status, or from an event of the run, whose number of metrics has no limit."""
    values = progress.model_dump(exclude={"finished_images"})
    values["metrics"] = {to_snake(name): value for name, value in progress.metrics.items()}
    values["updated"] = progress.time if isinstance(progress, ProgressEvent) else progress.last_updated_time
    return ProgressAnswer.model_construct(**values)


def queue_answer(queue: QueueStatus, now: datetime) -> Queue:
    """The status holds a time, because a number of seconds would be outdated a second later. The answer has both."""
    start = queue.estimated_start_time
    if start is not None and start.tzinfo is None:
        start = start.replace(tzinfo=UTC)
    seconds = None if start is None else max(0.0, round((start - now).total_seconds(), 1))
    return Queue(
        position=queue.position, estimated_start=start, estimated_start_seconds=seconds, waiting_for=queue.waiting_for
    )


def _failure(job: Job) -> Failure | None:
    for condition in job.status.conditions:
        if condition.type == ConditionType.FAILED and condition.status is ConditionStatus.TRUE:
            return Failure(reason=condition.reason, message=condition.message)
    return None
