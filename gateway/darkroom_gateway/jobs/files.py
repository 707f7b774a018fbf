"""The files of a job, each with a fresh presigned link. Used by the serializers of both kinds."""

from darkroom_contract.jobs import Job
from darkroom_contract.outcome import Artifact
from darkroom_contract.status import Phase
from darkroom_contract.storage.keys import MANIFEST_FILE
from darkroom_gateway.jobs.finished_images import finished_images
from darkroom_gateway.jobs.schemas import File, JobAnswer
from darkroom_gateway.jobs.serializers import job_answer
from darkroom_gateway.storage.client import ObjectStorage
from darkroom_gateway.storage.download_headers import served_type


def linked_files(job: Job, storage: ObjectStorage) -> list[File]:
    """All files but the manifest; none unless the job has succeeded. Raises `StorageUnavailableError`."""
    return [_file(each, storage) for each in _artifacts(job)]


def _artifacts(job: Job) -> list[Artifact]:
    if job.status.phase is not Phase.SUCCEEDED:
        return []
    return [each for each in job.status.artifacts or () if not each.key.endswith("/" + MANIFEST_FILE)]


def artifacts_so_far(job: Job, storage: ObjectStorage) -> list[tuple[str, File]]:
    """As `linked_files`, or the images that the current run of a generation has finished, each with its key in object
    storage. Raises the same error."""
    return [(each.key, _file(each, storage)) for each in _artifacts(job) or finished_images(job)]


def job_fields(job: Job, root_path: str) -> dict[str, object]:
    """The fields of a `JobAnswer`, for an answer that extends it."""
    answer = job_answer(job, root_path)
    return {name: getattr(answer, name) for name in JobAnswer.model_fields}


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
