"""Turns a job into a `V1Job`. No I/O.

`root_path` is the prefix under which a proxy publishes the gateway, or empty. All addresses of the gateway begin with
it.
"""

import re
from datetime import UTC, datetime
from urllib.parse import urlencode

from darkroom_contract.jobs import Job
from darkroom_contract.names import LABEL_SUBMITTED_BY, Kind
from darkroom_contract.outcome import Reason
from darkroom_contract.reasons import FAILURES
from darkroom_contract.status import ConditionStatus, ConditionType
from darkroom_contract.storage.keys import dataset_uri
from darkroom_gateway.jobs.files import artifacts_so_far
from darkroom_gateway.jobs.schemas import File, RemarkAnswer
from darkroom_gateway.jobs.serializers import phase_of, progress_answer, queue_answer
from darkroom_gateway.jobs.task_ids import PREFIXES
from darkroom_gateway.storage.client import ObjectStorage
from darkroom_gateway.v1.schemas import ArtifactRole, V1Artifact, V1Error, V1Job, V1Urls

PATH = "/v1/jobs"

_SEED = re.compile(r"-seed-(\d+)\.[a-z0-9]+")
_STEP = re.compile(r"-step-(\d+)-\d+\.png")
_GRID = re.compile(r"-grid\.[a-z0-9]+")
_OWN_NAME = re.compile(r"([a-z]+)-(?:[a-z2-7]{10}|[a-z2-7]{20})")
"""Names of task_ids.py. No job of the other kind has such a name by chance."""


def v1_job(job: Job, storage: ObjectStorage, root_path: str) -> V1Job:
    """Raises `StorageUnavailableError` when links to the files can't be signed."""
    status = job.status
    return V1Job(
        id=job.name,
        kind=job.kind,
        status=phase_of(job),
        model_id=job.spec.model_id,
        prompt=job.spec.prompt,
        priority=job.spec.priority,
        submitted_by=job.labels.get(LABEL_SUBMITTED_BY),
        spec=job.spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True),
        queue=None if status.queue is None else queue_answer(status.queue, datetime.now(UTC)),
        progress=None if status.progress is None else progress_answer(status.progress),
        error=_error(job),
        remarks=[RemarkAnswer.model_validate(each.model_dump()) for each in status.remarks or ()],
        artifacts=[
            _artifact(file, job.kind, dataset_uri(storage.bucket, key)) for key, file in artifacts_so_far(job, storage)
        ],
        created=job.created,
        started=status.start_time,
        completed=status.completion_time,
        attempts=status.attempts,
        next_attempt=status.next_attempt_time,
        deleting=job.deleting,
        urls=urls_of(job.kind, job.name, root_path),
    )


def address_of(kind: Kind, name: str, root_path: str, action: str = "") -> str:
    """The path of a job, or of an action below it. Names the kind where a job of the other kind may have this name."""
    own = _OWN_NAME.fullmatch(name)
    query = "" if own is not None and own[1] == PREFIXES[kind] else f"?{urlencode({'kind': kind.value})}"
    return f"{root_path}{PATH}/{name}{action}{query}"


def urls_of(kind: Kind, name: str, root_path: str) -> V1Urls:
    return V1Urls(
        get=address_of(kind, name, root_path),
        **{
            action: address_of(kind, name, root_path, f"/{action}")
            for action in ("cancel", "suspend", "resume", "retry", "events", "logs", "files")
        },
    )


def _error(job: Job) -> V1Error | None:
    for condition in job.status.conditions:
        if condition.type == ConditionType.FAILED and condition.status is ConditionStatus.TRUE:
            return V1Error(reason=condition.reason, message=condition.message, advice=_advice(condition.reason))
    return None


def _advice(reason: str) -> str | None:
    """None for a reason of a newer release."""
    return FAILURES[Reason(reason)].action if reason in set(Reason) else None


def _artifact(file: File, kind: Kind, uri: str) -> V1Artifact:
    role, seed, step = _meaning(file, kind)
    return V1Artifact(**file.model_dump(), role=role, seed=seed, step=step, uri=uri)


def _meaning(file: File, kind: Kind) -> tuple[ArtifactRole, int | None, int | None]:
    """What a file is, by the names of storage/keys.py; the seed of a picture, and the training step of a sample."""
    if file.content_type.startswith("video/"):
        return ArtifactRole.VIDEO, None, None
    if file.name.endswith(".safetensors"):
        return ArtifactRole.LORA, None, None
    if not file.content_type.startswith("image/"):
        return ArtifactRole.OTHER, None, None
    if kind is Kind.GENERATE:
        if _GRID.search(file.name):
            return ArtifactRole.GRID, None, None
        seed = _SEED.search(file.name)
        return ArtifactRole.IMAGE, None if seed is None else int(seed[1]), None
    if file.name.endswith("-samples.png"):
        return ArtifactRole.SAMPLE_SHEET, None, None
    step = _STEP.search(file.name)
    return ArtifactRole.SAMPLE, None, None if step is None else int(step[1])
