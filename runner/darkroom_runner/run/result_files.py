"""Signs and uploads the files of a run's result. `lifecycle` stores all of them at the end of the run.

A task may store a complete file earlier, so that it can be read while the run continues. The end of the run then
neither signs nor uploads it again. The failure of an early upload fails the run like that of a late one: a result that
can't be stored is lost, and so would be the rest of the work.
"""

from pathlib import Path

from darkroom_contract.outcome import OutcomeFile
from darkroom_contract.runs import RunDocument
from darkroom_contract.storage.keys import run_prefix
from darkroom_runner.run.content_credentials import ContentCredentials, job_source_type
from darkroom_runner.run.storage import Storage

CONTENT_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".mp4": "video/mp4",
    ".safetensors": "application/octet-stream",
}
"""Content types of the files that runs produce, by suffix."""
_SIGNED = ("image/", "video/")


class ResultFiles:
    """The files of one run that are in storage."""

    def __init__(self, document: RunDocument, storage: Storage, credentials: ContentCredentials | None) -> None:
        self._document = document
        self._storage = storage
        self._credentials = credentials
        self._stored: dict[Path, OutcomeFile] = {}

    def store(self, path: Path) -> OutcomeFile:
        """Sign an image or a clip, if the deployment has a certificate, and upload it under the run's prefix.

        A file that is stored already stays as it is. Raises `SigningFailedError` and `StorageUnavailableError`.
        """
        if path not in self._stored:
            self._stored[path] = self._store(path)
        return self._stored[path]

    def _store(self, path: Path) -> OutcomeFile:
        content_type = CONTENT_TYPES[path.suffix]
        if self._credentials and content_type.startswith(_SIGNED):
            source_type = job_source_type(self._document.generate, is_clip=content_type.startswith("video/"))
            self._credentials.sign(path, content_type, source_type)
        digest = self._storage.upload(run_prefix(self._document.uid) + path.name, path, content_type)
        return OutcomeFile(name=path.name, content_type=content_type, bytes=path.stat().st_size, sha256=digest)
