"""Turns a TrainJob into the answer of GET /result."""

from darkroom_contract.jobs import Job
from darkroom_contract.storage.keys import LORA_FILE
from darkroom_gateway.jobs.files import job_fields, linked_files
from darkroom_gateway.storage.client import ObjectStorage
from darkroom_gateway.training.schemas import TrainingAnswer


def training_answer(job: Job, storage: ObjectStorage, root_path: str) -> TrainingAnswer:
    """Raises `StorageUnavailableError` when links can't be signed."""
    files = linked_files(job, storage)
    lora = next((file for file in files if file.name == LORA_FILE), None)
    return TrainingAnswer(**job_fields(job, root_path), lora=lora, files=files)
