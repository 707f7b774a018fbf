"""Files of an earlier release live on: a LoRA with its record is used, and a stopped training resumes.

`released/` has files that release wrote with the small model of these tests, by `darkroom-runner`: a finished training
(`uid-of-the-lora`), one that was stopped by SIGTERM after 3 of 40 steps (`uid-of-the-checkpoint`), and their photos.
"""

import hashlib
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.runner_processes import Finished, Run
from support.s3_server import BUCKET

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.storage.keys import (
    CheckpointRecord,
    Manifest,
    ModelRecord,
    checkpoint_record_key,
    manifest_key,
    model_record_key,
)

RELEASES = sorted(path for path in (Path(__file__).parents[1] / "released").iterdir())
STOPPED, STEPS = "uid-of-the-checkpoint", 40
OLD_TRAINING = {
    "modelId": "half-star",
    "prompt": "a photo of sks star",
    "dataset": {"uri": f"s3://{BUCKET}/datasets/default/star/"},
    "maxSteps": STEPS,
    "training": {"rank": 2, "learningRate": 1e-2, "checkpointSteps": 2, "minSnrGamma": 5},
}
"""The spec of the stopped training, as its release had it."""


@pytest.fixture(params=RELEASES, ids=lambda path: path.name)
def release(request: pytest.FixtureRequest, s3: Any) -> Path:
    """A release whose files are in the bucket."""
    folder: Path = request.param
    for path in folder.rglob("*"):
        if path.is_file():
            s3.put_object(Bucket=BUCKET, Key=str(path.relative_to(folder)), Body=path.read_bytes())
    return folder


def test_records_are_read(release: Path) -> None:
    record = ModelRecord.model_validate_json((release / model_record_key("default", "released-star")).read_text())
    weights = (release / record.weights_key).read_bytes()
    assert hashlib.sha256(weights).hexdigest() == record.sha256
    assert (record.step, record.source, record.held_out_loss) == (None, None, None)
    assert Manifest.model_validate_json((release / manifest_key(record.job_uid)).read_text()).outcome.succeeded
    assert CheckpointRecord.model_validate_json((release / checkpoint_record_key(STOPPED)).read_text()).step == 3


@pytest.mark.usefixtures("release")
def test_a_generation_uses_the_lora(start_run: Callable[..., Run], s3: Any) -> None:
    def draw(**lora: Any) -> Image.Image:
        images = {"steps": 2, "width": 64, "height": 64, "scheduler": "Euler"}
        given = {"prompt": "a photo of sks star", "images": images, "cache": {"profile": "Disabled"}, **lora}
        done = start_run(GenerateJobSpec.from_dict(given)).finish()
        assert done.outcome.succeeded, done.log
        key = done.outcome.prefix + done.outcome.files[0].name
        return Image.open(BytesIO(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()))

    with_lora, without = draw(modelId="released-star"), draw()
    assert "released-star" in json.dumps({key: str(value) for key, value in with_lora.info.items()})
    assert with_lora.tobytes() != without.tobytes()


@pytest.mark.usefixtures("release")
def test_a_stopped_training_resumes(start_run: Callable[..., Run], s3: Any) -> None:
    done: Finished = start_run(TrainJobSpec.from_dict(OLD_TRAINING), uid=STOPPED, attempt=2).finish(180)
    assert done.outcome.succeeded, done.log
    assert "step 3" in done.log
    record = s3.get_object(Bucket=BUCKET, Key=model_record_key("default", "half-star"))["Body"].read().decode()
    assert ModelRecord.model_validate_json(record).job_uid == STOPPED
