"""Saves the files of a followed job, each as soon as it can be read."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from darkroom_client.cli.terminal import Terminal
from darkroom_client.errors import DownloadError
from darkroom_client.models import Artifact, Job
from darkroom_client.sync_client import Darkroom


class Saver:
    """Each file once, in one folder. Existing files stay: see downloads.py."""

    def __init__(self, darkroom: Darkroom, folder: Path, terminal: Terminal) -> None:
        self._darkroom = darkroom
        self._folder = folder
        self._terminal = terminal
        self._saved: set[str] = set()

    def save_announced(self, addresses: tuple[str, ...]) -> None:
        """Files that a run has stored before its end, such as sample images. Saved steps are not downloaded."""
        for address in addresses:
            segments = unquote(urlsplit(address).path).split("/")
            if "steps" in segments[-3:]:
                continue
            try:
                self._save(Artifact(name=segments[-1], role="sample", url=address), None)
            except DownloadError as error:
                # It may have been deleted since; the artifacts at the end decide.
                self._terminal.note(f"{segments[-1]} is not saved yet: {error}")

    def save_artifacts(self, job: Job) -> None:
        for each in job.artifacts:
            self._save(each, job)

    def _save(self, file: Artifact, job: Job | None) -> None:
        if file.name in self._saved:
            return
        path = self._darkroom.download_file(file, self._folder, job=job)
        self._saved.add(file.name)
        self._terminal.result(str(path))
        self._terminal.record(event="saved", name=file.name, path=str(path))
