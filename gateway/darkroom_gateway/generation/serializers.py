"""Turns a GenerateJob into the answer of GET /images."""

from darkroom_contract.jobs import Job
from darkroom_contract.specs.images import ImageFormat
from darkroom_contract.storage.keys import grid_file
from darkroom_gateway.generation.schemas import ImagesAnswer
from darkroom_gateway.jobs.files import job_fields, linked_files
from darkroom_gateway.storage.client import ObjectStorage


def images_answer(job: Job, storage: ObjectStorage, root_path: str) -> ImagesAnswer:
    """Raises `StorageUnavailableError` when links can't be signed."""
    files = linked_files(job, storage)
    grids = {grid_file(job.name, suffix=each.suffix) for each in ImageFormat}
    grid = next((file for file in files if file.name in grids), None)
    images = [file for file in files if file.content_type.startswith("image/") and file is not grid]
    video = next((file for file in files if file.content_type.startswith("video/")), None)
    return ImagesAnswer(**job_fields(job, root_path), images=images, grid=grid, video=video, files=files)
