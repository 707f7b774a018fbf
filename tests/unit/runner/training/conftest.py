"""Trainings in this process with all that a job shows and keeps, in real storage."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from support.pipeline_copies import LoadedOnce, PipelineCopies
from support.small_training import open_small_training
from support.warm_parent.image_steps import CONSTANTS

from darkroom_contract.progress import ProgressEvent
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_runner.models import pretrained
from darkroom_runner.run.context import RunContext, RunResult
from darkroom_runner.tasks.train import TrainInputs, TrainTask
from darkroom_runner.training.dataset import Photo


class RecordingSender:
    """Records the progress events."""

    def __init__(self) -> None:
        self.events: list[ProgressEvent] = []

    def send(self, event: ProgressEvent) -> None:
        self.events.append(event)

    def close(self) -> None:
        """Nothing to close."""

    @property
    def files(self) -> list[str]:
        return [file for event in self.events for file in event.files]


@dataclass
class Job:
    """A training job, its run, and what the run has left."""

    task: TrainTask
    context: RunContext
    inputs: TrainInputs
    session: Any
    sender: RecordingSender
    losses: list[float] = field(default_factory=list)
    """Of each step that this run has trained."""

    @property
    def prefix(self) -> str:
        return f"runs/{self.context.document.uid}/"

    @property
    def remarks(self) -> list[str]:
        return [each.reason for each in self.context.remarks.collected]

    def train(self) -> RunResult:
        step = self.session.progress.step

        def record(number: int, total: int | None = None, **metrics: float) -> None:
            if "loss" in metrics:
                self.losses.append(metrics["loss"])
            step(number, total, **metrics)

        self.session.progress.step = record
        return self.task.execute(self.inputs, self.session)

    def weights(self) -> dict[str, torch.Tensor]:
        state: dict[str, torch.Tensor] = self.session.adapters.state()
        return state


@pytest.fixture(scope="module")
def few_image_steps() -> Iterator[None]:
    """Class, sample and validation images take 4 steps, not 25 or 30.

    The pictures are others, and the U-Net cache of class images computes more of the steps in full. What a training
    does with the pictures does not depend on their steps.
    """
    with pytest.MonkeyPatch.context() as patch:
        for module, name in CONSTANTS:
            patch.setattr(f"{module}.{name}", 4)
        yield


@pytest.fixture(scope="session")
def thin_loaded_once(thin_model_root: Path) -> LoadedOnce:
    """For tests that load the thin SDXL, but don't test loading it."""
    return LoadedOnce([thin_model_root / "test-sdxl"])


@pytest.fixture(scope="module")
def open_training(thin_model_root: Path, thin_loaded_once: LoadedOnce, few_image_steps: None) -> Callable[..., Any]:
    """Open a training session with the thin SDXL in this process, whose images take few steps."""
    return partial(open_small_training, thin_model_root, thin_loaded_once)


@pytest.fixture
def sdxl(thin_sdxl_copies: PipelineCopies) -> Any:
    """The thin SDXL of one test alone."""
    return thin_sdxl_copies.copy()


@pytest.fixture
def open_job(
    open_context: Callable[..., RunContext],
    photos: list[Photo],
    thin_model_root: Path,
    tmp_path: Path,
    thin_loaded_once: LoadedOnce,
    few_image_steps: None,
) -> Callable[..., Job]:
    """Open a run of a training job with the thin SDXL; another run of the same job has the same `uid`."""

    def start(max_steps: int = 4, uid: str | None = None, model_id: str = "my-dog", **training: Any) -> Job:
        spec = TrainJobSpec.from_dict(
            {
                "modelId": model_id,
                "prompt": "a photo of sks dog",
                "dataset": {"uri": "s3://darkroom/photos/"},
                "maxSteps": max_steps,
                "training": {"rank": 4, "learningRate": 1e-2, **training},
            }
        )
        sender = RecordingSender()
        context = open_context(spec, uid=uid or str(uuid.uuid4()), sender=sender)
        context = replace(context, scratch=tmp_path / str(uuid.uuid4()))
        context.scratch.mkdir()
        task = TrainTask(context, spec)
        inputs = TrainInputs(photos, pretrained.find_pretrained("test-sdxl", pretrained.SDXL, thin_model_root))
        with thin_loaded_once:
            return Job(task, context, inputs, task.load(inputs), sender)

    return start


@pytest.fixture
def stored(s3: Any) -> Callable[[str], list[str]]:
    """The keys below a prefix, relative to it."""

    def read(prefix: str) -> list[str]:
        listed = s3.list_objects_v2(Bucket="darkroom", Prefix=prefix).get("Contents", [])
        return [each["Key"].removeprefix(prefix) for each in listed]

    return read


@pytest.fixture
def content(s3: Any) -> Callable[[str], bytes]:
    """The content of an object."""

    def read(key: str) -> bytes:
        body: bytes = s3.get_object(Bucket="darkroom", Key=key)["Body"].read()
        return body

    return read
