"""Progress tracking: percentage, time remaining and event rate."""

import pytest

from darkroom_contract.plan import plan_generation, plan_training
from darkroom_contract.progress import MAX_FILES, FinishedImage, ProgressEvent, Stage
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_runner.run.progress import MIN_INTERVAL_SECONDS, ProgressTracker
from darkroom_runner.run.progress_events import NullSender

TRAINING = TrainJobSpec.from_dict(
    {"modelId": "m", "prompt": "p", "dataset": {"uri": "s3://bucket/photos/"}, "maxSteps": 100}
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class RecordingSender:
    """Records the events."""

    def __init__(self) -> None:
        self.events: list[ProgressEvent] = []

    def send(self, event: ProgressEvent) -> None:
        self.events.append(event)

    def close(self) -> None:
        self.events.append(self.events[-1])


def test_first_and_last_steps_are_always_reported_and_others_once_per_interval() -> None:
    clock, sender = Clock(), RecordingSender()
    progress = ProgressTracker(1, plan_training(TRAINING), sender, clock)

    progress.enter(Stage.TRAINING, 100)
    for step in range(1, 101):
        progress.step(step, 100, loss=0.5)
        clock.now += MIN_INTERVAL_SECONDS / 10

    steps = [event.step for event in sender.events]
    assert steps[:2] == [0, 1]
    assert steps[-1] == 100
    assert 10 <= len(steps) <= 14
    assert sender.events[-1].metrics == {"loss": 0.5}


def test_steps_of_an_earlier_run_do_not_count_for_the_pace() -> None:
    clock = Clock()
    progress = ProgressTracker(1, {Stage.TRAINING: 100.0}, NullSender(), clock)
    progress.enter(Stage.TRAINING, total=100, done=50)
    clock.now += 10

    progress.step(60)

    assert progress.percentage == pytest.approx(60.0)
    assert progress.remaining_seconds == pytest.approx(40.0)


def test_the_percentage_never_falls_and_ends_at_100() -> None:
    clock, sender = Clock(), RecordingSender()
    progress = ProgressTracker(1, plan_training(TRAINING), sender, clock)

    for stage in (Stage.DOWNLOADING, Stage.LOADING_MODEL, Stage.ENCODING, Stage.TRAINING, Stage.UPLOADING, Stage.DONE):
        progress.enter(stage, 4)
        for step in range(1, 5):
            clock.now += 1
            progress.step(step, 4)

    percentages = [event.progress_percentage for event in sender.events]
    assert percentages == sorted(percentages)
    assert (percentages[0], percentages[-1]) == (0.0, 100.0)
    assert sender.events[-1].estimated_remaining_seconds == 0.0


def test_remaining_time_follows_the_pace_of_the_stage() -> None:
    clock = Clock()
    progress = ProgressTracker(1, {Stage.TRAINING: 100.0, Stage.UPLOADING: 1.0}, NullSender(), clock)
    progress.enter(Stage.TRAINING, total=100)
    clock.now += 50

    progress.step(25)

    assert progress.remaining_seconds == pytest.approx(150 + 2)


def test_slow_start_does_not_lengthen_the_estimate_of_the_stages_after_class_images() -> None:
    clock = Clock()
    plan = {Stage.LOADING_MODEL: 10.0, Stage.DRAWING_CLASS_IMAGES: 100.0, Stage.TRAINING: 900.0}
    progress = ProgressTracker(1, plan, NullSender(), clock)
    progress.enter(Stage.LOADING_MODEL)
    clock.now += 600
    progress.enter(Stage.DRAWING_CLASS_IMAGES, total=10)
    clock.now += 5

    progress.step(5)

    assert progress.remaining_seconds == pytest.approx(5 + 90)


def test_steps_of_equal_parts_are_counted_across_the_stage() -> None:
    sender = RecordingSender()
    progress = ProgressTracker(1, {Stage.DENOISING: 100.0}, sender, Clock())
    progress.enter(Stage.DENOISING, total=8)

    for part in range(2):
        for step in range(1, 5):
            progress.part_step(part, 2, step, 4)

    assert progress.percentage == pytest.approx(100.0)
    assert (sender.events[-1].step, sender.events[-1].total) == (8, 8)


@pytest.mark.parametrize("done", [0, 50])
def test_remaining_time_is_unknown_until_the_run_has_done_a_training_step(done: int) -> None:
    """Whatever the loading took, and however many steps an earlier run has done."""
    clock = Clock()
    progress = ProgressTracker(1, plan_training(TRAINING), NullSender(), clock)
    for stage in (Stage.DOWNLOADING, Stage.LOADING_MODEL, Stage.ENCODING, Stage.TRAINING):
        progress.enter(stage, 100, done if stage is Stage.TRAINING else 0)
        clock.now += 60

        assert progress.remaining_seconds is None

    progress.step(done + 1)
    assert progress.remaining_seconds is not None


@pytest.mark.parametrize("motion", [True, False])
def test_a_plan_contains_the_stages_of_its_job(motion: bool) -> None:
    plan = plan_generation(GenerateJobSpec.from_dict({"prompt": "p", "allowMotion": motion}))

    assert (Stage.ANIMATING in plan) is motion
    assert Stage.DENOISING in plan


def test_files_are_announced_at_once_with_the_metrics_of_the_newest_step() -> None:
    clock, sender = Clock(), RecordingSender()
    progress = ProgressTracker(1, plan_training(TRAINING), sender, clock)
    progress.enter(Stage.TRAINING, 100)
    progress.step(1, loss=0.5)
    progress.step(2, loss=0.25)

    progress.announce(["samples/a.png"], {"heldOutLoss": 0.125})

    newest = sender.events[-1]
    assert newest.files == ("samples/a.png",)
    assert newest.metrics == {"loss": 0.25, "heldOutLoss": 0.125}
    assert (newest.stage, newest.step, newest.total) == (Stage.TRAINING, 2, 100)
    progress.step(3, loss=0.2)
    clock.now += MIN_INTERVAL_SECONDS
    progress.step(4, loss=0.1)
    assert (sender.events[-1].files, sender.events[-1].metrics) == ((), {"loss": 0.1})


def test_finished_images_are_in_all_later_events() -> None:
    sender = RecordingSender()
    progress = ProgressTracker(1, {Stage.DENOISING: 100.0}, sender, Clock())
    progress.enter(Stage.DENOISING, 2)
    images = [FinishedImage(seed=seed, bytes=3, sha256="0" * 64) for seed in (7, 8)]

    progress.step(1)
    progress.finish_image(images[0], "a-seed-7.png")
    progress.step(2)
    progress.finish_image(images[1], "a-seed-8.png")
    progress.enter(Stage.UPLOADING)

    assert [event.files for event in sender.events if event.files] == [("a-seed-7.png",), ("a-seed-8.png",)]
    assert [len(event.finished_images) for event in sender.events] == [0, 0, 1, 1, 2, 2]
    assert sender.events[-1].finished_images == tuple(images)


def test_many_files_are_announced_in_several_events() -> None:
    sender = RecordingSender()
    progress = ProgressTracker(1, plan_training(TRAINING), sender, Clock())
    names = [f"samples/{number}.png" for number in range(2 * MAX_FILES + 1)]

    progress.announce(names)

    assert [len(event.files) for event in sender.events] == [MAX_FILES, MAX_FILES, 1]
    assert [file for event in sender.events for file in event.files] == names


def test_a_pause_between_steps_is_reported_once_per_interval() -> None:
    clock, sender = Clock(), RecordingSender()
    progress = ProgressTracker(1, plan_training(TRAINING), sender, clock)
    progress.enter(Stage.TRAINING, 100)
    progress.step(1, loss=0.5)
    sent = len(sender.events)

    for _ in range(20):
        clock.now += MIN_INTERVAL_SECONDS / 4
        progress.keep_alive()

    assert len(sender.events) - sent == 5
    assert {(event.step, event.metrics["loss"]) for event in sender.events[sent:]} == {(1, 0.5)}


def test_work_between_steps_moves_the_percentage_and_not_the_time_remaining() -> None:
    """Two steps of 5, and after the first one another 90."""
    clock, sender = Clock(), RecordingSender()
    progress = ProgressTracker(1, {Stage.TRAINING: 100.0}, sender, clock)
    progress.weigh(Stage.TRAINING, lambda step, between: (step * 5 + between + (90 if step == 2 else 0)) / 100)
    progress.enter(Stage.TRAINING, 2)
    clock.now += 5
    progress.step(1, loss=0.5)
    sent = len(sender.events)

    for work in range(1, 91):
        clock.now += 1
        progress.keep_alive(float(work))
    clock.now += 5
    progress.step(2)

    between = sender.events[sent:-1]
    assert [event.progress_percentage for event in between] == list(range(6, 96))
    assert [event.estimated_remaining_seconds for event in between] == list(range(94, 4, -1))
    assert {(event.step, event.metrics["loss"]) for event in between} == {(1, 0.5)}
    assert sender.events[-1].progress_percentage == 100.0


JPEG = "/9j/" + 8000 * "A"


def test_previews_are_sent_at_once_and_once_per_interval() -> None:
    clock, sender = Clock(), RecordingSender()
    progress = ProgressTracker(1, plan_training(TRAINING), sender, clock)
    progress.enter(Stage.DENOISING, 50)

    for step in range(5, 45, 5):
        progress.preview(7, step, JPEG)
        clock.now += MIN_INTERVAL_SECONDS / 2

    shown = [event.preview for event in sender.events if event.preview is not None]
    assert [each.step for each in shown] == [5, 15, 25, 35]
    assert (shown[0].seed, shown[0].jpeg) == (7, JPEG)


def test_a_run_without_input_files_does_not_begin_with_fetching_them() -> None:
    plan = plan_generation(GenerateJobSpec.from_dict({"prompt": "p"}))
    progress = ProgressTracker(1, plan, NullSender(), Clock())

    assert not progress.plans(Stage.DOWNLOADING)
    assert progress.stage is Stage.LOADING_MODEL
