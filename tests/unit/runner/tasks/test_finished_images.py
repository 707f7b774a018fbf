"""Every image of a job is stored and announced before the next one begins, and stored only once."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.s3_server import BUCKET

from darkroom_contract.outcome import OutcomeFile, Reason
from darkroom_contract.progress import ProgressEvent, Stage
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_runner.errors import InterruptedRunError, StorageUnavailableError
from darkroom_runner.lifecycle import execute, upload
from darkroom_runner.run.context import RunContext
from darkroom_runner.tasks.generate import GenerateTask

STEPS = 2


class Recorder:
    """Records the events, and calls `on_image` when an image is announced."""

    def __init__(self, on_image: Callable[[], None] = lambda: None) -> None:
        self.events: list[ProgressEvent] = []
        self.on_image = on_image

    def send(self, event: ProgressEvent) -> None:
        self.events.append(event)
        if event.files:
            self.on_image()

    def close(self) -> None:
        """Nothing to close."""


def spec_of(**images: Any) -> GenerateJobSpec:
    images = {"steps": STEPS, "count": 3, "seed": 7, **images}
    return GenerateJobSpec.from_dict({"prompt": "a dog", "images": images, "cache": {"profile": "Disabled"}})


def run(context: RunContext, spec: GenerateJobSpec) -> tuple[OutcomeFile, ...]:
    return upload(execute(GenerateTask(context, spec), context), context)


@pytest.fixture
def stored(s3: Any) -> Callable[[str], dict[str, str]]:
    """The SHA-256 of the files of a run in storage, by name."""

    def read(uid: str) -> dict[str, str]:
        listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"runs/{uid}/").get("Contents", [])
        bodies = {each["Key"]: s3.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read() for each in listed}
        return {key.rpartition("/")[2]: hashlib.sha256(body).hexdigest() for key, body in bodies.items()}

    return read


def test_an_image_is_stored_before_the_next_one_begins(
    open_context: Callable[..., RunContext], stored: Callable[[str], dict[str, str]]
) -> None:
    found: list[dict[str, str]] = []
    recorder = Recorder(lambda: found.append(stored("early")))

    files = run(open_context(spec_of(grid=True), uid="early", sender=recorder), spec_of(grid=True))

    announced = [event for event in recorder.events if event.files]
    names = [f"a-job-seed-{seed}.png" for seed in (7, 8, 9)]
    assert [event.files for event in announced] == [(name,) for name in names]
    assert [event.step for event in announced] == [STEPS, 2 * STEPS, 3 * STEPS]
    assert [sorted(each) for each in found] == [names[:1], names[:2], names]
    for event, there in zip(announced, found, strict=True):
        claimed = {f"a-job-seed-{each.seed}.png": each.sha256 for each in event.finished_images}
        assert claimed == there
    assert recorder.events[-1].finished_images == announced[-1].finished_images
    assert {each.name: each.sha256 for each in files} == stored("early")
    assert [each.name for each in files] == [*names, "a-job-grid.png"]


def test_the_end_of_a_run_uploads_only_what_is_not_stored_yet(
    open_context: Callable[..., RunContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = open_context(spec_of(grid=True), uid="once")
    uploaded: list[str] = []
    really = context.storage.upload

    def counted(key: str, path: Path, content_type: str) -> str:
        uploaded.append(key.rpartition("/")[2])
        return really(key, path, content_type)

    monkeypatch.setattr(context.storage, "upload", counted)
    files = run(context, spec_of(grid=True))

    assert uploaded == [each.name for each in files]


def test_a_failed_upload_of_an_early_image_fails_the_run_as_one_at_its_end_does(
    open_context: Callable[..., RunContext],
) -> None:
    recorder = Recorder()
    context = open_context(spec_of(), uid="refused", sender=recorder)
    context.storage.bucket = "no-such-bucket"

    with pytest.raises(StorageUnavailableError, match="refused to upload runs/refused/a-job-seed-7") as failure:
        run(context, spec_of())

    assert failure.value.reason is Reason.STORAGE_UNAVAILABLE
    assert Stage.DENOISING in {event.stage for event in recorder.events}
    assert not any(event.finished_images for event in recorder.events)


def test_a_run_after_an_interrupted_one_replaces_its_images(
    open_context: Callable[..., RunContext], stored: Callable[[str], dict[str, str]]
) -> None:
    recorder = Recorder()
    first = open_context(spec_of(), uid="again", sender=recorder)
    recorder.on_image = lambda: setattr(first.stop_signal, "requested", True)
    with pytest.raises(InterruptedRunError):
        run(first, spec_of())
    left = stored("again")

    files = run(open_context(spec_of(), uid="again"), spec_of())

    assert list(left) == ["a-job-seed-7.png"]
    assert {each.name: each.sha256 for each in files} == stored("again")
    assert stored("again").items() >= left.items()
