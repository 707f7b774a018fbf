"""The log line about what a training trains on."""

import logging
from pathlib import Path

import pytest

from darkroom_contract.photos.errors import PhotoProperties
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_runner.training.dataset import Photo
from darkroom_runner.training.subjects import log_subjects, subjects_of

FOLDER = {"uri": "s3://bucket/photos/"}


@pytest.fixture
def spec() -> TrainJobSpec:
    prior = {"classPrompt": "a cat", "dataset": FOLDER}
    return TrainJobSpec.from_dict(
        {
            "modelId": "m",
            "prompt": "sks dog",
            "dataset": FOLDER,
            "maxSteps": 10,
            "training": {"heldOutPhotos": 1},
            "concepts": [{"prompt": "xyz cat", "dataset": FOLDER, "priorPreservation": prior}],
        }
    )


def photo(name: str, caption: str | None = None, transparent: bool = False) -> Photo:
    return Photo(name, Path(name), PhotoProperties("png", (64, 64), transparent=transparent), caption)


@pytest.mark.parametrize(("masked", "masks"), [(True, 3), (False, 0)])
def test_the_log_says_what_is_trained_on(
    spec: TrainJobSpec, caplog: pytest.LogCaptureFixture, masked: bool, masks: int
) -> None:
    caplog.set_level(logging.INFO)
    photos = {
        "dataset": [photo(f"{number}.png", "sks dog, grass", transparent=True) for number in range(4)],
        "concepts[0].dataset": [photo("cat.png")],
        "concepts[0].priorPreservation.dataset": [photo("a.png"), photo("b.png")],
    }
    subjects = subjects_of(spec, photos)

    log_subjects(subjects, masked)

    [held_out] = subjects[0].held_out
    assert caplog.messages == [
        f"training 'sks dog' on 3 photos (3 with captions, {masks} with masks); held out: {held_out.name}",
        "training 'xyz cat' on 1 photos (0 with captions, 0 with masks), 2 own class pictures; held out: none",
    ]
