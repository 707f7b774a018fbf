"""An interrupted training resumes from its checkpoint with bit-identical results; damaged checkpoints are ignored."""

import json
import signal
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load

from darkroom_contract import plan
from darkroom_contract.base_models import UsedModel
from darkroom_contract.outcome import Outcome, Reason
from darkroom_contract.runs import RunDocument
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_runner.errors import InterruptedRunError, StorageUnavailableError
from darkroom_runner.run.stop_signal import StopSignal
from darkroom_runner.run.storage import Storage
from darkroom_runner.training import prior_preservation
from darkroom_runner.training.checkpoints import Checkpoints
from darkroom_runner.training.dataset import Photo
from darkroom_runner.unet_cache.policies import FEW_STEPS

BUCKET = "darkroom"
STEPS = 6
BASE = UsedModel(reference="test-sdxl", commit="1" * 40)
SETTINGS: dict[str, Any] = {
    "seed": 3,
    "trainTextEncoders": True,
    "learningRateSchedule": "cosine",
    "warmupSteps": 2,
    "gradientAccumulationSteps": 2,
    "priorPreservation": {"classPrompt": "a photo of a dog", "classImages": 2},
}


def spec(**changes: Any) -> TrainJobSpec:
    return TrainJobSpec.from_dict(
        {
            "modelId": "my-dog",
            "prompt": "a photo of sks dog",
            "dataset": {"uri": f"s3://{BUCKET}/photos/"},
            "maxSteps": STEPS,
            **changes,
        }
    )


class StopAtStep(StopSignal):
    """Requests a stop during a given step."""

    def __init__(self, session_step: int) -> None:
        super().__init__()
        self._left = session_step

    def count_step(self) -> None:
        self._left -= 1
        self.requested = self._left <= 0


@pytest.fixture
def checkpoints(storage: Storage, tmp_path: Path) -> Callable[..., Checkpoints]:
    """Open the checkpoints of one job, as each of its runs would."""
    uid = str(uuid.uuid4())

    def open_them(attempt: int = 1, base_model: str = "test-sdxl") -> Checkpoints:
        document = RunDocument(
            namespace="default",
            name="a-job",
            uid=uid,
            attempt=attempt,
            base_model=base_model,
            video_base_model="test-svd",
            train=spec(),
        )
        return Checkpoints(storage, document, tmp_path)

    return open_them


@pytest.fixture(scope="module")
def uninterrupted(
    open_training: Callable[..., Any], photos: list[Photo]
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """Weights and metrics of an uninterrupted training."""
    session = open_training(max_steps=STEPS, **SETTINGS)
    metrics = session.train(photos)
    return session.adapters.state(), metrics


@pytest.fixture
def interrupt(open_training: Callable[..., Any], photos: list[Photo]) -> Callable[..., None]:
    """Train until a stop is requested at a given step."""

    def train(checkpoints: Checkpoints, at_step: int, **settings: Any) -> None:
        stop_signal = StopAtStep(at_step)
        session = open_training(stop_signal, max_steps=STEPS, **{**SETTINGS, **settings})
        session.checkpoints = checkpoints
        save = session._save_checkpoint

        def count_and_save(state: Any) -> None:
            stop_signal.count_step()
            save(state)

        session._save_checkpoint = count_and_save
        with pytest.raises(InterruptedRunError):
            session.train(photos)

    return train


@pytest.fixture
def resume(open_training: Callable[..., Any], photos: list[Photo]) -> Callable[..., Any]:
    """Train to the end from the checkpoint; returns weights and metrics."""

    def train(checkpoints: Checkpoints, **settings: Any) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
        session = open_training(max_steps=STEPS, **{**SETTINGS, **settings})
        session.checkpoints = checkpoints
        metrics = session.train(photos)
        return session.adapters.state(), metrics

    return train


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def keys(s3: Any, prefix: str) -> list[str]:
    return [each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])]


@pytest.mark.parametrize("step", [1, 4, STEPS])
def test_a_resumed_training_gives_bit_identical_weights(
    step: int,
    checkpoints: Callable[..., Checkpoints],
    interrupt: Callable[..., None],
    resume: Callable[..., Any],
    uninterrupted: tuple[dict[str, torch.Tensor], dict[str, float]],
) -> None:
    interrupt(checkpoints(1), step)

    weights, metrics = resume(checkpoints(2))

    assert metrics["resumedFromStep"] == step
    assert metrics["finalLoss"] == uninterrupted[1]["finalLoss"]
    assert same(weights, uninterrupted[0])


def test_a_resumed_training_is_bit_identical_with_class_images_of_all_steps(
    checkpoints: Callable[..., Checkpoints], interrupt: Any, resume: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as outside of tests: the U-Net cache has a rule for few."""
    assert plan.CLASS_IMAGE_STEPS >= FEW_STEPS
    monkeypatch.setattr(prior_preservation, "CLASS_IMAGE_STEPS", plan.CLASS_IMAGE_STEPS)
    whole, _ = resume(checkpoints())
    interrupt(checkpoints(2), 4)
    weights, metrics = resume(checkpoints(3))

    assert metrics["resumedFromStep"] == 4
    assert same(weights, whole)


def test_checkpoints_are_saved_periodically_and_only_the_newest_is_kept(
    checkpoints: Callable[..., Checkpoints], resume: Callable[..., Any], s3: Any
) -> None:
    states = checkpoints()

    resume(states, checkpointSteps=2)

    prefix = f"runs/{states._document.uid}/"
    assert keys(s3, prefix) == [f"{prefix}checkpoint-4.safetensors", f"{prefix}checkpoint.json"]
    state = load(s3.get_object(Bucket=BUCKET, Key=f"{prefix}checkpoint-4.safetensors")["Body"].read())
    assert len(state["losses"]) == 4


def test_a_state_without_a_record_is_ignored(
    checkpoints: Callable[..., Checkpoints], interrupt: Callable[..., None], resume: Callable[..., Any], s3: Any
) -> None:
    states = checkpoints()
    interrupt(states, 2)
    s3.delete_object(Bucket=BUCKET, Key=f"runs/{states._document.uid}/checkpoint.json")

    assert "resumedFromStep" not in resume(checkpoints(2))[1]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda state, record: (state[:-100], record), id="a truncated state"),
        pytest.param(lambda state, record: (state, b'{"step": "many"}'), id="an invalid record"),
        pytest.param(
            lambda state, record: (state, json.dumps({**json.loads(record), "stateKey": "runs/other/x"}).encode()),
            id="a record of another job's state",
        ),
        pytest.param(
            lambda state, record: (state, json.dumps({**json.loads(record), "baseModel": "other"}).encode()),
            id="a state of another base model",
        ),
        pytest.param(
            lambda state, record: (state, json.dumps({**json.loads(record), "baseModelCommit": "2" * 40}).encode()),
            id="a state of another commit of the base model",
        ),
    ],
)
def test_an_untrusted_checkpoint_is_ignored(
    damage: Callable[[bytes, bytes], tuple[bytes, bytes]],
    checkpoints: Callable[..., Checkpoints],
    s3: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    states = checkpoints()
    states.put(3, BASE, lambda path: path.write_bytes(bytes(1000)) and None)
    prefix = f"runs/{states._document.uid}/"
    files = [f"{prefix}checkpoint-3.safetensors", f"{prefix}checkpoint.json"]
    assert checkpoints(2).fetch(BASE) is not None
    contents = [s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in files]
    for key, content in zip(files, damage(*contents), strict=True):
        s3.put_object(Bucket=BUCKET, Key=key, Body=content)

    assert checkpoints(2).fetch(BASE) is None
    own_records = [each for each in caplog.records if each.name == "darkroom_runner.training.checkpoints"]
    assert own_records[-1].levelname == "WARNING"


def test_a_checkpoint_of_other_settings_is_ignored(
    checkpoints: Callable[..., Checkpoints], interrupt: Callable[..., None], resume: Callable[..., Any]
) -> None:
    interrupt(checkpoints(1), 2)

    _, metrics = resume(checkpoints(2), rank=8)

    assert "resumedFromStep" not in metrics


def test_a_full_disk_or_failing_storage_does_not_end_the_training(
    checkpoints: Callable[..., Checkpoints], caplog: pytest.LogCaptureFixture
) -> None:
    def no_space(path: Path) -> None:
        raise OSError(28, "No space left on device")

    def unreachable(path: Path) -> None:
        raise StorageUnavailableError("Object storage failed to upload")

    states = checkpoints()
    for write in (no_space, unreachable):
        states.put(1, BASE, write)

    assert "No space left on device" in caplog.text
    assert "Object storage failed" in caplog.text
    assert checkpoints(2).fetch(BASE) is None


# --- as processes ------------------------------------------------------------------------------------------------


@pytest.fixture
def train_settings(put_dataset: Callable[..., str]) -> TrainJobSpec:
    settings = {"rank": 4, "learningRate": 1e-2, "checkpointSteps": 10}
    return spec(dataset={"uri": put_dataset()}, maxSteps=60, training=settings)


def test_the_run_after_a_killed_one_makes_the_same_model(
    train_settings: TrainJobSpec,
    start_run: Callable[..., Any],
    events: Callable[[str], list[dict[str, Any]]],
    until: Callable[..., None],
    s3: Any,
) -> None:
    whole = start_run(train_settings).finish()
    for signum, lost_steps in ((signal.SIGKILL, 10), (signal.SIGTERM, 0)):
        interrupted = start_run(train_settings)
        until(lambda interrupted=interrupted: any(each["step"] > 15 for each in events(interrupted.uid)), "step 15", 60)

        interrupted.process.send_signal(signum)
        assert interrupted.process.wait(20) != 0
        reached = max(each["step"] for each in events(interrupted.uid))
        successor = start_run(train_settings, uid=interrupted.uid, attempt=2).finish()

        if signum is signal.SIGTERM:
            outcome = Outcome.from_message(interrupted.message.read_text())
            assert outcome is not None
            assert outcome.reason is Reason.INTERRUPTED
            assert outcome.saved_step is not None
            assert outcome.saved_step >= reached
        assert successor.outcome.succeeded
        # Reported progress is slightly behind the actual progress.
        assert successor.outcome.metrics["resumedFromStep"] >= reached - lost_steps
        weights = [one.outcome.files[0].sha256 for one in (whole, successor)]
        assert tensors(s3, whole.uid) == tensors(s3, interrupted.uid), weights
        assert whole.outcome.metrics["finalLoss"] == successor.outcome.metrics["finalLoss"]
        assert not [key for key in keys(s3, f"runs/{interrupted.uid}/") if "checkpoint" in key]


def tensors(s3: Any, uid: str) -> dict[str, Any]:
    body = s3.get_object(Bucket=BUCKET, Key=f"runs/{uid}/pytorch_lora_weights.safetensors")["Body"].read()
    return {name: tensor.tolist() for name, tensor in load(body).items()}
