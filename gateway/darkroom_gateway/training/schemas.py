"""Response schemas of trainings."""

from pydantic import Field

from darkroom_gateway.jobs.schemas import File, JobAnswer


class TrainingAnswer(JobAnswer):
    """A training. `lora` and `files` are present once it has succeeded."""

    lora: File | None = Field(None, description="The trained weights, as safetensors.")
    files: list[File] = Field(default_factory=list, description="All files of the run.")
