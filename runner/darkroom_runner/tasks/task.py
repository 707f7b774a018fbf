"""The interface of a task. `lifecycle` calls its methods in the order in which they are defined here."""

from typing import Generic, Protocol, TypeVar

from darkroom_contract.outcome import OutcomeFile
from darkroom_runner.run.context import RunResult

Inputs = TypeVar("Inputs")
Models = TypeVar("Models")


class Task(Protocol, Generic[Inputs, Models]):
    """One kind of job: training or generation."""

    @property
    def saved_step(self) -> int | None:
        """The newest training step with a checkpoint in storage, from which a failed job can resume; None without."""
        ...

    @property
    def libraries(self) -> tuple[str, ...]:
        """The modules that `load` and `execute` need, imported in another thread during `download`."""
        ...

    def download(self) -> Inputs:
        """Fetch and validate the input. Must not import torch, so that invalid input fails before torch is imported."""
        ...

    def load(self, inputs: Inputs) -> Models:
        """Load the models."""
        ...

    def execute(self, inputs: Inputs, models: Models) -> RunResult:
        """Do the work and write the result's files to the scratch folder."""
        ...

    def publish(self, files: tuple[OutcomeFile, ...]) -> None:
        """Make the uploaded files known outside the run, such as a LoRA under its model id."""
        ...

    def clean_up(self) -> None:
        """Delete what only an unfinished job needs. Raises nothing."""
        ...
