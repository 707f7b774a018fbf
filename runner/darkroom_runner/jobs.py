"""What the two kinds of job have in common, as the life cycle sees them. `lifecycle` picks one and drives it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from darkroom_contract.base_models import UsedModel
from darkroom_contract.outcome import OutcomeFile
from darkroom_contract.runs import RunDocument
from darkroom_runner.interruption import Interruption
from darkroom_runner.progress import Progress
from darkroom_runner.remarks import Remarks
from darkroom_runner.settings import Settings
from darkroom_runner.storage import Storage

Inputs = TypeVar("Inputs")
Models = TypeVar("Models")


@dataclass(frozen=True)
class Workbench:
    """What a job works with."""

    document: RunDocument
    settings: Settings
    storage: Storage
    progress: Progress
    interruption: Interruption
    scratch: Path
    """A folder of the run's own; gone after it."""
    remarks: Remarks = field(default_factory=Remarks)


@dataclass(frozen=True)
class Product:
    """What a job made, before it is uploaded."""

    files: list[Path]
    metrics: dict[str, float] = field(default_factory=dict)
    base_models: tuple[UsedModel, ...] = ()
    """What they were made with."""


class Job(Protocol, Generic[Inputs, Models]):
    """One kind of job, in the order in which the life cycle calls it."""

    @property
    def saved_step(self) -> int | None:
        """The newest step whose state lies in storage, where an unfinished job can go on from one."""
        ...

    def download(self) -> Inputs:
        """Fetch and check what the job needs from storage. Imports no torch: bad input fails fast."""
        ...

    def load(self, inputs: Inputs) -> Models:
        """Load the models."""
        ...

    def work(self, inputs: Inputs, models: Models) -> Product:
        """Do the job; its files lie in the scratch folder."""
        ...

    def publish(self, files: tuple[OutcomeFile, ...]) -> None:
        """Make the uploaded files known beyond the run."""
        ...

    def tidy(self) -> None:
        """The job is finished: remove what only an unfinished one needs. Raises nothing."""
        ...
