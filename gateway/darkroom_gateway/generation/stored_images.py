"""Pictures that are in object storage already: by their URI, or as an artifact of an earlier task.

Called by generation/image_resolver.py. The operator and the runner apply the same policy to jobs from YAML.
"""

import re

from pydantic import ValidationError

from darkroom_contract.jobs import Job
from darkroom_contract.names import IMAGE_URI_PATTERN
from darkroom_contract.photos import limits as bounds
from darkroom_contract.status import Phase
from darkroom_contract.storage.datasets import DatasetPolicy
from darkroom_contract.storage.keys import Manifest, dataset_uri, manifest_key
from darkroom_gateway.backends.calls import Backend
from darkroom_gateway.backends.deadlines import STORAGE_SECONDS
from darkroom_gateway.errors import (
    FieldError,
    InvalidRequestError,
    UnfinishedTaskError,
    UnknownFileError,
    invalid_request,
)
from darkroom_gateway.generation.image_sources import ImageRole
from darkroom_gateway.jobs.service import JobService
from darkroom_gateway.storage.client import ObjectStorage

MAX_LISTED = 10
"""Maximum number of pictures that an error lists."""
_MIB = 1024**2
_NO_MANIFEST = (
    "The job that makes it has not succeeded, or its files were deleted. Wait until it has succeeded, or download the "
    "picture and upload it."
)


class StoredImages:
    """The pictures that generations of one namespace may read."""

    def __init__(
        self, jobs: JobService, storage: ObjectStorage, backend: Backend, namespace: str, policy: DatasetPolicy
    ) -> None:
        self._jobs = jobs
        self._storage = storage
        self._backend = backend
        self._namespace = namespace
        self._policy = policy

    async def require(self, uri: str, parameter: str) -> str:
        """The URI, if jobs may read it, and it exists where the gateway can look. Raises `InvalidRequestError`."""
        if (fault := self._policy.image_fault(uri, self._namespace, "The picture")) is not None:
            raise _refused(parameter, uri, fault)
        if (uid := self._policy.job_of_image(uri, self._namespace)) is not None:
            await self._require_own(uid, parameter, uri)
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if bucket != self._storage.bucket:
            return uri  # The run checks files of other buckets: the gateway's credentials may not read them.
        size_bytes = await self._backend.call(STORAGE_SECONDS, self._storage.size_of, bucket, key)
        if size_bytes is None:
            raise _refused(parameter, uri, "There is no such picture. Store it there, or correct the address.")
        if size_bytes > bounds.MAX_PHOTO_BYTES:
            raise _refused(parameter, uri, f"Use a picture of at most {bounds.MAX_PHOTO_BYTES // _MIB} MiB.")
        return uri

    async def of_task(self, task_id: str, file: str | None, role: ImageRole) -> str:
        """The URI of a picture of a task: the file of that name, or the first one.

        Raises `UnknownTaskError`, `UnfinishedTaskError`, `UnknownFileError`, or `InvalidRequestError` for a picture
        that no run may read.
        """
        job = await self._jobs.get(task_id)
        key = _artifact(job, file, role)
        await self._require_own(job.uid, role.task_parameter, task_id)
        return await self.require(dataset_uri(self._storage.bucket, key), role.task_parameter)

    async def _require_own(self, uid: str, parameter: str, given: str) -> None:
        """Raises `InvalidRequestError` unless the job's manifest says that its files are of this namespace.

        The run refuses the picture otherwise, since its owner is unknown.
        """
        content = await self._backend.call(STORAGE_SECONDS, self._storage.read, manifest_key(uid))
        if content is None:
            raise _refused(parameter, given, _NO_MANIFEST)
        try:
            owner = Manifest.model_validate_json(content).namespace
        except ValidationError:
            owner = None
        if owner is None:
            message = "Download the picture and upload it: the older release that made it recorded no namespace."
            raise _refused(parameter, given, message)
        if owner != self._namespace:
            raise _refused(parameter, given, "It is a picture of another namespace. Use one of this namespace.")


def _artifact(job: Job, file: str | None, role: ImageRole) -> str:
    """The key of a picture of a finished job. Raises `UnfinishedTaskError` or `UnknownFileError`."""
    phase = job.status.phase
    if phase is not Phase.SUCCEEDED and not (phase is not None and phase.is_terminal):
        message = f"Wait until the task {job.name} has succeeded: it is {phase or Phase.QUEUED}."
        raise UnfinishedTaskError(message, (FieldError(role.task_parameter, message, job.name),))
    pictures = _pictures(job)
    if file is None and pictures:
        return next(iter(pictures.values()))
    if file is not None and file in pictures:
        return pictures[file]
    if not pictures:
        message = f"The task {job.name} has no pictures: its phase is {phase}."
        raise UnknownFileError(message, (FieldError(role.task_parameter, message, job.name),))
    listed = ", ".join(list(pictures)[:MAX_LISTED])
    message = f"The task {job.name} has no picture {file}. Use one of: {listed}."
    raise UnknownFileError(message, (FieldError(role.file_parameter, message, file),))


def _pictures(job: Job) -> dict[str, str]:
    """The keys of a job's pictures by name, a grid of all last."""
    keys = [each.key for each in job.status.artifacts or () if each.content_type.startswith("image/")]
    usable = [key for key in keys if re.fullmatch(IMAGE_URI_PATTERN, f"s3://bucket/{key}")]
    usable.sort(key=lambda key: key.rpartition(".")[0].endswith("-grid"))
    return {key.rpartition("/")[2]: key for key in usable}


def _refused(parameter: str, given: str, message: str) -> InvalidRequestError:
    return invalid_request([FieldError(parameter, message, given)])
