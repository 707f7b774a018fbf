"""Saves the files of a followed job, each as soon as it can be read."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from darkroom_client.cli.terminal import Terminal
from darkroom_client.downloads import existing_copy, prepare_folder
from darkroom_client.errors import DownloadError
from darkroom_client.models import Artifact, Job
from darkroom_client.sync_client import Darkroom


class Saver:
    """Each file once, in one folder. Existing files stay: see downloads.py."""

    def __init__(self, darkroom: Darkroom, folder: Path, terminal: Terminal) -> None:
        """Raises `NotSavedError` for a folder that can't be written to: better before a job is submitted."""
        prepare_folder(folder)
        self._darkroom = darkroom
        self._folder = folder
        self._terminal = terminal
        self._saved: dict[str, Path] = {}
        """Where each file was saved, by its name."""
        self._failed: set[str] = set()

    def save_announced(self, addresses: tuple[str, ...]) -> None:
        """Files that a run has stored before its end: finished pictures, samples. Saved steps are not downloaded."""
        for address in addresses:
            segments = unquote(urlsplit(address).path).split("/")
            if "steps" in segments[-3:]:
                continue
            self._save_early(Artifact(name=segments[-1], role="other", url=address), None)

    def save_finished(self, job: Job) -> None:
        """The pictures of a job that has not ended, for a gateway whose events can't be read."""
        for each in job.artifacts:
            self._save_early(each, job)

    def save_artifacts(self, job: Job) -> None:
        """All files of a job that has succeeded. Those that were saved before its end are not downloaded again."""
        try:
            for each in job.artifacts:
                self._save(each, job)
        except DownloadError as error:
            again = self._terminal.command("download", job.id, "-o", str(self._folder))
            error.advice = f"{error.advice or ''} {job.id} has succeeded. Save its files with: {again}".strip()
            raise

    def in_words(self) -> str:
        """Where the files of the job are."""
        count, folder = len(self._saved), str(self._folder)
        where = "this folder" if folder == "." else folder
        return f"{count} file{'s' if count > 1 else ''} in {where}." if count else "It has no files."

    def _save_early(self, file: Artifact, job: Job | None) -> None:
        """A file that can't be saved is left to the end of the job: it may have been replaced or deleted since."""
        try:
            self._save(file, job)
        except DownloadError as error:
            if file.name not in self._failed:
                self._failed.add(file.name)
                self._terminal.note(f"{file.name} is not saved yet: {error}")

    def _save(self, file: Artifact, job: Job | None) -> None:
        saved = self._saved.get(file.name)
        # A later run of the job may have drawn the picture again, with other bytes.
        if saved is not None and (file.sha256 is None or existing_copy(saved, file.sha256) is not None):
            return
        path = self._darkroom.download_file(file, self._folder, job=job)
        self._saved[file.name] = path
        self._terminal.saved(str(path))
        self._terminal.record(event="saved", name=file.name, path=str(path))
