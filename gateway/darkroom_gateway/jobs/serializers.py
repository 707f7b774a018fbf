"""Jobs as answers. Pure, but for the links, which storage/client.py signs."""

from datetime import UTC, datetime
from urllib.parse import urlencode

from pydantic.alias_generators import to_snake

from darkroom_contract.jobs import Job
from darkroom_contract.names import FINALIZER_FILES, LABEL_DELETE_FILES, LABEL_SUBMITTED_BY, Kind
from darkroom_contract.outcome import Artifact
from darkroom_contract.progress import ProgressEvent
from darkroom_contract.status import ConditionStatus, ConditionType, Phase, ProgressStatus, QueueStatus
from darkroom_contract.storage import LORA_FILE, MANIFEST_FILE
from darkroom_gateway.jobs.schemas import (
    ConditionAnswer,
    Failure,
    File,
    ImagesAnswer,
    JobAnswer,
    ProgressAnswer,
    Queue,
    RemarkAnswer,
    TaskAccepted,
    TrainingAnswer,
)
from darkroom_gateway.storage.client import ObjectStorage
from darkroom_gateway.storage.download_headers import served_type

STATUS_PATHS = {Kind.TRAIN: "/result", Kind.GENERATE: "/images"}


def status_url(job: Job, root_path: str) -> str:
    return f"{root_path}{STATUS_PATHS[job.kind]}?{urlencode({'task_id': job.name})}"


def events_url(job: Job, root_path: str) -> str:
    return f"{root_path}/jobs/{job.name}/events?{urlencode({'kind': job.kind.value})}"


def accepted(job: Job, root_path: str) -> TaskAccepted:
    """`root_path` is the prefix under which a proxy publishes the gateway, or empty; links begin with it."""
    return TaskAccepted(
        task_id=job.name,
        kind=job.kind,
        model_id=job.spec.model_id,
        status_url=status_url(job, root_path),
        job_url=f"{root_path}/jobs/{job.name}?{urlencode({'kind': job.kind.value})}",
        events_url=events_url(job, root_path),
    )


def phase_of(job: Job) -> Phase:
    """A job that the operator has not seen yet waits like every other."""
    return job.status.phase or Phase.QUEUED


def job_answer(job: Job, root_path: str) -> JobAnswer:
    """A job of either kind, without its files, as it is told now."""
    status = job.status
    return JobAnswer(
        task_id=job.name,
        kind=job.kind,
        phase=phase_of(job),
        prompt=job.spec.prompt,
        model_id=job.spec.model_id,
        priority=job.spec.priority,
        submitted_by=job.labels.get(LABEL_SUBMITTED_BY),
        created=job.created,
        started=status.start_time,
        completed=status.completion_time,
        deleting=job.deleting,
        deletes_files=job.labels.get(LABEL_DELETE_FILES) == "true" or FINALIZER_FILES in job.finalizers,
        attempts=status.attempts,
        next_attempt=status.next_attempt_time,
        queue=None if status.queue is None else queue_answer(status.queue, datetime.now(UTC)),
        progress=None if status.progress is None else progress_answer(status.progress),
        failure=_failure(job),
        remarks=[RemarkAnswer(reason=each.reason, message=each.message) for each in status.remarks or ()],
        conditions=_conditions(job),
        status_url=status_url(job, root_path),
        events_url=events_url(job, root_path),
    )


def training_answer(job: Job, storage: ObjectStorage, root_path: str) -> TrainingAnswer:
    files = _files(job, storage)
    lora = next((file for file in files if file.name == LORA_FILE), None)
    return TrainingAnswer(**_shared(job, root_path), lora=lora, files=files)


def images_answer(job: Job, storage: ObjectStorage, root_path: str) -> ImagesAnswer:
    files = _files(job, storage)
    images = [file for file in files if file.content_type.startswith("image/")]
    video = next((file for file in files if file.content_type.startswith("video/")), None)
    return ImagesAnswer(**_shared(job, root_path), images=images, video=video, files=files)


def progress_answer(progress: ProgressStatus | ProgressEvent) -> ProgressAnswer:
    """Progress as the status has it, or as the run tells it."""
    return ProgressAnswer(
        stage=progress.stage,
        step=progress.step,
        total=progress.total,
        progress_percentage=progress.progress_percentage,
        estimated_remaining_seconds=progress.estimated_remaining_seconds,
        metrics={to_snake(name): value for name, value in progress.metrics.items()},
        updated=progress.time if isinstance(progress, ProgressEvent) else progress.last_updated_time,
    )


def _shared(job: Job, root_path: str) -> dict[str, object]:
    answer = job_answer(job, root_path)
    return {name: getattr(answer, name) for name in JobAnswer.model_fields}


def queue_answer(queue: QueueStatus, now: datetime) -> Queue:
    """A status tells a moment, since seconds would be wrong a second later; a person is told both."""
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


def _conditions(job: Job) -> list[ConditionAnswer]:
    return [
        ConditionAnswer(
            type=each.type,
            status=each.status,
            reason=each.reason,
            message=each.message,
            last_transition_time=each.last_transition_time,
        )
        for each in job.status.conditions
    ]


def _files(job: Job, storage: ObjectStorage) -> list[File]:
    """Files of a job that succeeded, each with a fresh link."""
    if job.status.phase is not Phase.SUCCEEDED:
        return []
    return [_file(artifact, storage) for artifact in job.status.artifacts or () if _is_for_people(artifact)]


def _is_for_people(artifact: Artifact) -> bool:
    return not artifact.key.endswith("/" + MANIFEST_FILE)


def _file(artifact: Artifact, storage: ObjectStorage) -> File:
    link = storage.link(artifact.key, artifact.content_type)
    return File(
        name=artifact.key.rsplit("/", 1)[-1],
        url=link.url,
        expires=link.expires,
        content_type=served_type(artifact.content_type),
        bytes=artifact.bytes,
        sha256=artifact.sha256,
    )
