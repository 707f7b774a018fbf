"""A training that is broken off goes on where it stopped, as if nothing had happened; half a state is never used."""

import json
import signal
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load

from darkroom_contract.base_models import UsedModel
from darkroom_contract.outcome import Outcome, Reason
from darkroom_contract.runs import RunDocument
from darkroom_contract.specs import TrainJobSpec
from darkroom_runner.checkpoints import Checkpoints
from darkroom_runner.dataset import Photo
from darkroom_runner.errors import InterruptedRunError, StorageUnavailableError
from darkroom_runner.interruption import Interruption
from darkroom_runner.storage import Storage

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


class Told(Interruption):
    """Told to stop while a given step is taken."""

    def __init__(self, session_step: int) -> None:
        super().__init__()
        self._left = session_step

    def step_taken(self) -> None:
        self._left -= 1
        self.requested = self._left <= 0


@pytest.fixture
def checkpoints(storage: Storage, tmp_path: Path) -> Callable[..., Checkpoints]:
    """The states of a job of its own, as its next run would open them."""
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
def unbroken(
    open_training: Callable[..., Any], photos: list[Photo]
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """Weights and metrics of a training that nothing breaks off."""
    session = open_training(max_steps=STEPS, **SETTINGS)
    metrics = session.learn(photos)
    return session.adapters.state(), metrics


@pytest.fixture
def break_off(open_training: Callable[..., Any], photos: list[Photo]) -> Callable[..., None]:
    """Train until a step, while which the run is told to stop."""

    def train(checkpoints: Checkpoints, at_step: int, **settings: Any) -> None:
        interruption = Told(at_step)
        session = open_training(interruption, max_steps=STEPS, **{**SETTINGS, **settings})
        session.checkpoints = checkpoints
        keep = session._keep

        def note_and_keep(state: Any) -> None:
            interruption.step_taken()
            keep(state)

        session._keep = note_and_keep
        with pytest.raises(InterruptedRunError):
            session.learn(photos)

    return train


@pytest.fixture
def go_on(open_training: Callable[..., Any], photos: list[Photo]) -> Callable[..., Any]:
    """Train to the end from what is kept; weights and metrics."""

    def train(checkpoints: Checkpoints, **settings: Any) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
        session = open_training(max_steps=STEPS, **{**SETTINGS, **settings})
        session.checkpoints = checkpoints
        metrics = session.learn(photos)
        return session.adapters.state(), metrics

    return train


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def keys(s3: Any, prefix: str) -> list[str]:
    return [each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])]


@pytest.mark.parametrize("step", [1, 4, STEPS])
def test_a_training_that_was_told_to_stop_goes_on_as_if_it_had_not(
    step: int,
    checkpoints: Callable[..., Checkpoints],
    break_off: Callable[..., None],
    go_on: Callable[..., Any],
    unbroken: tuple[dict[str, torch.Tensor], dict[str, float]],
) -> None:
    break_off(checkpoints(1), step)

    weights, metrics = go_on(checkpoints(2))

    assert metrics["resumedFromStep"] == step
    assert metrics["finalLoss"] == unbroken[1]["finalLoss"]
    assert same(weights, unbroken[0])


def test_a_state_is_saved_every_so_many_steps_and_only_the_newest_is_kept(
    checkpoints: Callable[..., Checkpoints], go_on: Callable[..., Any], s3: Any
) -> None:
    states = checkpoints()

    go_on(states, checkpointSteps=2)

    prefix = f"runs/{states._document.uid}/"
    assert keys(s3, prefix) == [f"{prefix}checkpoint-4.safetensors", f"{prefix}checkpoint.json"]
    state = load(s3.get_object(Bucket=BUCKET, Key=f"{prefix}checkpoint-4.safetensors")["Body"].read())
    assert len(state["losses"]) == 4


def test_without_a_record_a_state_is_not_read(
    checkpoints: Callable[..., Checkpoints], break_off: Callable[..., None], go_on: Callable[..., Any], s3: Any
) -> None:
    states = checkpoints()
    break_off(states, 2)
    s3.delete_object(Bucket=BUCKET, Key=f"runs/{states._document.uid}/checkpoint.json")

    assert "resumedFromStep" not in go_on(checkpoints(2))[1]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda state, record: (state[:-100], record), id="a state cut short"),
        pytest.param(lambda state, record: (state, b'{"step": "many"}'), id="a record that is none"),
        pytest.param(
            lambda state, record: (state, json.dumps({**json.loads(record), "stateKey": "runs/other/x"}).encode()),
            id="a record that points elsewhere",
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
def test_what_can_t_be_trusted_is_not_used(
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
    assert [each.levelname for each in caplog.records if each.name == "darkroom_runner.checkpoints"][-1] == "WARNING"


def test_a_state_of_another_training_is_not_taken_over(
    checkpoints: Callable[..., Checkpoints], break_off: Callable[..., None], go_on: Callable[..., Any]
) -> None:
    break_off(checkpoints(1), 2)

    _, metrics = go_on(checkpoints(2), rank=8)

    assert "resumedFromStep" not in metrics


def test_a_full_disk_or_a_dead_storage_does_not_end_the_training(
    checkpoints: Callable[..., Checkpoints], caplog: pytest.LogCaptureFixture
) -> None:
    def no_space(path: Path) -> None:
        raise OSError(28, "No space left on device")

    def unreachable(path: Path) -> None:
        raise StorageUnavailableError("Object storage failed to upload")

    states = checkpoints()
    for trouble in (no_space, unreachable):
        states.put(1, BASE, trouble)

    assert "No space left on device" in caplog.text
    assert "Object storage failed" in caplog.text
    assert checkpoints(2).fetch(BASE) is None


# --- as processes ------------------------------------------------------------------------------------------------


@pytest.fixture
def train_settings(put_dataset: Callable[..., str]) -> TrainJobSpec:
    settings = {"rank": 4, "learningRate": 1e-2, "checkpointSteps": 10}
    return spec(dataset={"uri": put_dataset()}, maxSteps=60, training=settings)


def test_a_killed_run_s_successor_makes_the_very_model_that_it_would_have_made(
    train_settings: TrainJobSpec,
    start_run: Callable[..., Any],
    events: Callable[[str], list[dict[str, Any]]],
    until: Callable[..., None],
    s3: Any,
) -> None:
    whole = start_run(train_settings).finish()
    for blow, lost_steps in ((signal.SIGKILL, 10), (signal.SIGTERM, 0)):
        broken = start_run(train_settings)
        until(lambda broken=broken: any(each["step"] > 15 for each in events(broken.uid)), "step 15", 60)

        broken.process.send_signal(blow)
        assert broken.process.wait(20) != 0
        reached = max(each["step"] for each in events(broken.uid))
        successor = start_run(train_settings, uid=broken.uid, attempt=2).finish()

        if blow is signal.SIGTERM:
            outcome = Outcome.from_message(broken.message.read_text())
            assert outcome is not None
            assert outcome.reason is Reason.INTERRUPTED
            assert outcome.saved_step is not None
            assert outcome.saved_step >= reached
        assert successor.outcome.succeeded
        # What was told is a little behind what was done.
        assert successor.outcome.metrics["resumedFromStep"] >= reached - lost_steps
        weights = [one.outcome.files[0].sha256 for one in (whole, successor)]
        assert tensors(s3, whole.uid) == tensors(s3, broken.uid), weights
        assert whole.outcome.metrics["finalLoss"] == successor.outcome.metrics["finalLoss"]
        assert not [key for key in keys(s3, f"runs/{broken.uid}/") if "checkpoint" in key]


def tensors(s3: Any, uid: str) -> dict[str, Any]:
    body = s3.get_object(Bucket=BUCKET, Key=f"runs/{uid}/pytorch_lora_weights.safetensors")["Body"].read()
    return {name: tensor.tolist() for name, tensor in load(body).items()}
