"""What a task needs to run, and what it returns. `lifecycle` makes a `RunContext` and passes it to the task."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from darkroom_contract.base_models import UsedModel
from darkroom_contract.runs import RunDocument
from darkroom_contract.storage.keys import ModelRecord
from darkroom_contract.tracing.tracing import Tracing
from darkroom_runner.run.content_credentials import ContentCredentials
from darkroom_runner.run.progress import ProgressTracker
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.run.result_files import ResultFiles
from darkroom_runner.run.stop_signal import StopSignal
from darkroom_runner.run.storage import Storage
from darkroom_runner.settings import Settings


@dataclass(frozen=True)
class RunContext:
    """The run's document, settings and services."""

    document: RunDocument
    settings: Settings
    storage: Storage
    progress: ProgressTracker
    stop_signal: StopSignal
    scratch: Path
    """The run's temporary folder, deleted when the run ends."""
    remarks: Remarks = field(default_factory=Remarks)
    credentials: ContentCredentials | None = None
    """Signs images and clips; None if the deployment has no certificate."""
    tracing: Tracing = field(default_factory=Tracing)

    @cached_property
    def results(self) -> ResultFiles:
        """The files of the result that are in storage."""
        return ResultFiles(self.document, self.storage, self.credentials)

    def on_step(self, step: int, total: int) -> None:
        """Report a finished step. Raises `InterruptedRunError` once a stop was requested."""
        self.on_part_step(0, 1, step, total)

    def on_part_step(self, part: int, parts: int, step: int, total: int) -> None:
        """`on_step` for one of several equal parts of a stage, such as one image of a job. `part` counts from 0."""
        self.stop_signal.check()
        self.progress.part_step(part, parts, step, total)


@dataclass(frozen=True)
class RunResult:
    """Files and metrics that a task produced, before the upload."""

    files: list[Path]
    metrics: dict[str, float] = field(default_factory=dict)
    base_models: tuple[UsedModel, ...] = ()
    """The base models that were used, for the manifest."""
    saved_steps: tuple[ModelRecord, ...] = ()
    """The LoRAs that a training has saved on its way, for the manifest."""
    samples: tuple[str, ...] = ()
    """The sample images that a training has stored on its way, for the manifest."""
