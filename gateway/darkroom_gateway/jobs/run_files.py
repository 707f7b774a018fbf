"""The files of a job's runs: artifacts, and what a run stores before its end. Called by jobs/router.py.

Polls don't list samples and saved steps: that would cost listings of object storage for each poll. Their addresses come
with the live events, and from `GET /jobs/{task_id}/files`, with two listings. So do those of images of a generation
that has not succeeded, with one listing.
"""

import mimetypes
import re
from collections.abc import Iterable, Sequence

from anyio import to_thread

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.status import Phase
from darkroom_contract.storage.keys import MANIFEST_FILE, run_prefix
from darkroom_gateway.backends.calls import Backends
from darkroom_gateway.backends.deadlines import STORAGE_SECONDS
from darkroom_gateway.errors import FieldError, UnknownFileError
from darkroom_gateway.jobs.finished_images import image_names
from darkroom_gateway.jobs.run_file_paths import FileAddresses, is_served
from darkroom_gateway.jobs.schemas import RunFile, RunFileList
from darkroom_gateway.jobs.service import JobService
from darkroom_gateway.storage.client import ObjectStorage
from darkroom_gateway.storage.presigned_links import Link

FOLDERS = ("samples/", "steps/")
"""What a training stores while it runs, below its prefix."""


class RunFiles:
    """The files of the runs of one namespace's jobs."""

    def __init__(self, jobs: JobService, storage: ObjectStorage, backends: Backends, root_path: str) -> None:
        self._jobs = jobs
        self._storage = storage
        self._backends = backends
        self._root_path = root_path

    async def list(self, task_id: str, kind: Kind | None) -> RunFileList:
        """The files that can be read now: artifacts first, then samples and saved steps.

        Raises what `JobService.get` raises, and `StorageUnavailableError`.
        """
        return RunFileList(files=[*await self._files(await self._jobs.get(task_id, kind))])

    async def linked(self, task_id: str, kind: Kind | None) -> Iterable[tuple[RunFile, Link]]:
        """The same files with presigned links. Raises the same errors."""
        job = await self._jobs.get(task_id, kind)
        prefix = run_prefix(job.uid)
        found = await self._files(job)
        # In a thread: a training may have thousands of files, and each signature takes some 0.1 ms.
        return await to_thread.run_sync(self._link_all, prefix, found)

    def _link_all(self, prefix: str, files: Sequence[RunFile]) -> Sequence[tuple[RunFile, Link]]:
        return [(each, self._storage.link(prefix + each.path, _media_type(each.path))) for each in files]

    async def _files(self, job: Job) -> Sequence[RunFile]:
        prefix, sizes = run_prefix(job.uid), _artifacts(job)
        if early := _early_images(job):
            stored = await self._backends.storage.call(STORAGE_SECONDS, self._storage.sizes, prefix)
            sizes |= {name: stored[prefix + name] for name in early if prefix + name in stored}
        for folder in FOLDERS if job.kind is Kind.TRAIN else ():
            found = await self._backends.storage.call(STORAGE_SECONDS, self._stored_below, prefix + folder)
            sizes |= {key.removeprefix(prefix): size_bytes for key, size_bytes in sorted(found.items(), key=_by_step)}
        addresses = FileAddresses(self._root_path, job.name, job.kind)
        return [RunFile(path=path, url=addresses.of(path), bytes=sizes[path]) for path in sizes if is_served(path)]

    async def link(self, task_id: str, kind: Kind | None, path: str) -> str:
        """A fresh presigned link to a file; `path` must be served.

        Raises `UnknownFileError`, what `JobService.get` raises, and `StorageUnavailableError`.
        """
        job = await self._jobs.get(task_id, kind)
        media_type, key = None, run_prefix(job.uid) + path
        if "/" in path or path in _artifacts(job) or path in _early_images(job):
            media_type = await self._backends.storage.call(STORAGE_SECONDS, self._storage.media_type, key)
        if media_type is None:
            message = (
                f"{job.name} has no file {path}: its run has not stored it yet, or it was deleted. Use a path of the "
                "list of its files."
            )
            raise UnknownFileError(message, (FieldError("name", message, path),))
        return self._storage.link(key, media_type).url

    def _stored_below(self, prefix: str) -> dict[str, int]:
        return self._storage.sizes(prefix, recursive=True)


def _media_type(path: str) -> str:
    """By the name, which the runner chose. `ObjectStorage.link` replaces types that browsers might run."""
    return mimetypes.guess_type(path)[0] or "application/octet-stream"


def _by_step(found: tuple[str, int]) -> str:
    """Sorts keys with numbers by their value."""
    return re.sub(r"\d+", lambda number: number[0].zfill(9), found[0])


def _early_images(job: Job) -> list[str]:
    """The images that a generation may have stored before it has succeeded. Object storage has those that it has."""
    return [] if job.status.phase is Phase.SUCCEEDED else list(image_names(job).values())


def _artifacts(job: Job) -> dict[str, int]:
    """The sizes of the artifacts in bytes, without the manifest. A job has none until it has succeeded."""
    prefix = run_prefix(job.uid)
    found = {each.key.removeprefix(prefix): each.bytes for each in job.status.artifacts or ()}
    return {name: size_bytes for name, size_bytes in found.items() if name != MANIFEST_FILE}
