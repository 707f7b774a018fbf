"""Response schemas of generations."""

from pydantic import Field

from darkroom_gateway.jobs.schemas import File, JobAnswer


class ImagesAnswer(JobAnswer):
    """A generation. `images`, `grid` and `video` are present once it has succeeded."""

    images: list[File] = Field(default_factory=list, description="The pictures, in the order of their seeds.")
    grid: File | None = Field(None, description="All pictures in one, when grid was set and there are several.")
    video: File | None = Field(None, description="The clip, when allow_motion was set.")
    files: list[File] = Field(default_factory=list, description="All files of the run.")
