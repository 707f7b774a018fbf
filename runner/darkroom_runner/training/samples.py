"""Sample images of a training: stored and announced while it runs, and put together on one sheet at its end.

The train task opens `Samples`; `between_steps` adds the images. Files of earlier runs of the job are kept: an image is
stored once for each step and prompt. Key layout: `darkroom_contract.storage.keys`.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from darkroom_contract.remarks import RemarkReason
from darkroom_contract.runs import RunDocument
from darkroom_contract.storage.keys import run_prefix, sample_file, sample_key, samples_prefix, samples_sheet_file
from darkroom_runner.errors import RunError, StorageUnavailableError
from darkroom_runner.run.content_credentials import GENERATED, ContentCredentials
from darkroom_runner.run.progress import ProgressTracker
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.run.storage import Storage
from darkroom_runner.training.sample_sheet import draw_sheet, shown_steps, shrink

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngInfo

log = logging.getLogger(__name__)

_CONTENT_TYPE = "image/png"


class Samples:
    """The sample images of one job."""

    def __init__(
        self,
        storage: Storage,
        document: RunDocument,
        scratch: Path,
        progress: ProgressTracker,
        remarks: Remarks,
        credentials: ContentCredentials | None = None,
    ) -> None:
        self._storage = storage
        self._document = document
        self._progress = progress
        self._remarks = remarks
        self._waiting, self._cells = scratch / "samples", scratch / "sample-cells"
        """Folders of images to upload, and of small copies of all images, for the sheet."""
        for folder in (self._waiting, self._cells):
            folder.mkdir(exist_ok=True)
        self._credentials = credentials
        self._stored: set[str] = set()
        self._failed = False

    def find_stored(self) -> None:
        """List the images that earlier runs of the job have stored. Raises `StorageUnavailableError`."""
        listed = self._storage.list_folder(self._storage.bucket, samples_prefix(self._document.uid))
        self._stored = {each.name for each in listed}

    @property
    def names(self) -> tuple[str, ...]:
        """The file names of the images in storage."""
        return tuple(sorted(self._stored))

    def has(self, step: int, prompt: int) -> bool:
        return self._file(step, prompt) in self._stored

    def add(self, step: int, prompt: int, image: Image.Image, info: "PngInfo") -> None:
        """Keep an image until `publish`. Raises `OSError`."""
        path = self._waiting / self._file(step, prompt)
        image.save(path, pnginfo=info)
        if self._credentials:
            self._credentials.sign(path, _CONTENT_TYPE, GENERATED)
        shrink(image).save(self._cells / self._file(step, prompt))

    def publish(self) -> None:
        """Upload and announce the added images.

        If storage fails, a warning is logged, and the next call tries again.
        """
        uploaded = []
        try:
            for path in sorted(self._waiting.iterdir()):
                self._storage.upload(sample_key(self._document.uid, path.name), path, _CONTENT_TYPE)
                path.unlink()
                uploaded.append(path.name)
        except StorageUnavailableError as error:
            log.warning("sample images were not stored: %s", error)
        self._stored |= set(uploaded)
        if uploaded:
            prefix = samples_prefix(self._document.uid).removeprefix(run_prefix(self._document.uid))
            self._progress.announce([prefix + name for name in uploaded])

    def note_failure(self, step: int, failure: RunError) -> None:
        """Add a remark about the first image that could not be generated."""
        if not self._failed:
            self._failed = True
            self._remarks.add(
                RemarkReason.SAMPLES_LEFT_OUT,
                f"A sample image of step {step} is missing, and perhaps later ones: {failure}",
            )

    def draw_sheet(self, prompts: tuple[str, ...], steps: list[int], path: Path) -> bool:
        """Draw the sheet of all steps that have images; returns False without images of at least two steps."""
        steps = [step for step in steps if any(self._known(step, prompt) for prompt in range(len(prompts)))]
        if len(steps) < 2:
            return False
        columns = shown_steps(steps)
        cells = {
            (prompt, step): cell
            for prompt in range(len(prompts))
            for step in columns
            if (cell := self._cell(step, prompt)) is not None
        }
        draw_sheet(prompts, columns, cells).save(path)
        return True

    def sheet_file(self) -> str:
        return samples_sheet_file(self._document.name)

    def _known(self, step: int, prompt: int) -> bool:
        return self.has(step, prompt) or (self._cells / self._file(step, prompt)).exists()

    def _cell(self, step: int, prompt: int) -> Path | None:
        """An image's small copy; that of an earlier run's image is made from storage."""
        path = self._cells / self._file(step, prompt)
        if not path.exists() and self.has(step, prompt):
            key = sample_key(self._document.uid, path.name)
            try:
                self._storage.download(self._storage.bucket, key, path)
            except StorageUnavailableError as error:
                log.warning("the sheet of samples lacks %s: %s", path.name, error)
                path.unlink(missing_ok=True)
        return path if path.exists() else None

    def _file(self, step: int, prompt: int) -> str:
        return sample_file(self._document.name, step, prompt)
