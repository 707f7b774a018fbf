"""Names of the files that jobs make: they contain job and seed, are unique, and stay within the folder."""

import re

import pytest

from darkroom_contract.outcome import OutcomeFile
from darkroom_contract.storage.keys import (
    LORA_FILE,
    clip_file,
    image_file,
    kohya_file,
    sample_file,
    samples_sheet_file,
    validation_file,
)


def test_files_are_called_by_their_job_and_seed() -> None:
    assert image_file("my-dog-on-the-moon", 7) == "my-dog-on-the-moon-seed-7.png"
    assert clip_file("my-dog-on-the-moon") == "my-dog-on-the-moon.mp4"
    assert validation_file("my-dog") == "my-dog-validation.png"
    assert validation_file("my-dog", 1) == "my-dog-validation-2.png"
    assert sample_file("my-dog", 200, 1) == "my-dog-step-00200-1.png"
    assert samples_sheet_file("my-dog") == "my-dog-samples.png"
    assert kohya_file("My_dog.v2") == "My_dog.v2.safetensors"


@pytest.mark.parametrize("job", ["../../etc/passwd", "a/b", "a.b", "ä", "x" * 300])
def test_no_job_s_name_leads_out_of_the_folder_or_is_too_long(job: str) -> None:
    names = [image_file(job, 2**32 - 1), clip_file(job), validation_file(job, 7), samples_sheet_file(job)]
    for name in [*names, sample_file(job, 20_000, 7)]:
        assert re.fullmatch(r"[A-Za-z0-9-]+\.(png|mp4)", name)
        OutcomeFile(name=name, content_type="image/png", bytes=1, sha256="0" * 64)


@pytest.mark.parametrize(
    "model_id",
    ["pytorch_lora_weights", "PyTorch_LoRA_weights", "checkpoint", "checkpoint-100", "Checkpoint-5"],
)
def test_a_model_named_like_another_file_of_the_run_does_not_take_its_place(model_id: str) -> None:
    assert kohya_file(model_id) == f"{model_id}-kohya.safetensors"
    assert kohya_file(model_id) != LORA_FILE
