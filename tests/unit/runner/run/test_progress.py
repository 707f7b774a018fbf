"""Progress tracking: percentage, time remaining and event rate; a failing Redis neither stops nor slows a run."""

import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime

import pytest
import redis

from darkroom_contract.plan import plan_generation, plan_training
from darkroom_contract.progress import MAX_FILES, STREAM_MAX_LENGTH, Preview, ProgressEvent, Stage, stream_name
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_runner.run.progress import MIN_INTERVAL_SECONDS, ProgressTracker
from darkroom_runner.run.progress_events import MAX_QUEUED_WITH_PREVIEW, QUEUE_LENGTH, NullSender, RedisSender

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


def test_steps_of_equal_parts_are_counted_across_the_stage() -> None:
    sender = RecordingSender()
    progress = ProgressTracker(1, {Stage.DENOISING: 100.0}, sender, Clock())
    progress.enter(Stage.DENOISING, total=8)

    for part in range(2):
        for step in range(1, 5):
            progress.part_step(part, 2, step, 4)

    assert progress.percentage == pytest.approx(100.0)
    assert (sender.events[-1].step, sender.events[-1].total) == (8, 8)


def test_remaining_time_is_unknown_before_any_work_is_done() -> None:
    progress = ProgressTracker(1, plan_training(TRAINING), NullSender(), Clock())
    progress.enter(Stage.DOWNLOADING)

    assert progress.remaining_seconds is None


@pytest.mark.parametrize("motion", [True, False])
def test_a_plan_contains_the_stages_of_its_job(motion: bool) -> None:
    plan = plan_generation(GenerateJobSpec.from_dict({"prompt": "p", "allowMotion": motion}))

    assert (Stage.ANIMATING in plan) is motion
    assert Stage.DENOISING in plan


def test_events_arrive_in_order_in_a_capped_stream_that_expires(redis_url: str) -> None:
    stream = stream_name(str(uuid.uuid4()))
    progress = ProgressTracker(3, plan_training(TRAINING), RedisSender(redis_url, stream))
    with progress:
        progress.enter(Stage.TRAINING, 2)
        progress.step(1, 2, loss=0.25, learningRate=1e-4)
        progress.step(2, 2)

    with redis.Redis.from_url(redis_url) as client:
        events = [ProgressEvent.model_validate_json(entry[b"event"]) for _, entry in client.xrange(stream)]
        expires = client.ttl(stream)

    assert [(event.stage, event.step, event.attempt) for event in events] == [
        (Stage.TRAINING, each, 3) for each in (0, 1, 2)
    ]
    assert events[1].metrics == {"loss": 0.25, "learningRate": 1e-4}
    assert 0 < expires <= 24 * 3600


def test_a_stream_keeps_only_the_newest_events(redis_url: str, until: Callable[..., None]) -> None:
    stream = stream_name(str(uuid.uuid4()))
    sender = RedisSender(redis_url, stream)
    event = ProgressEvent(attempt=1, stage=Stage.TRAINING, time=datetime.now(UTC))
    with redis.Redis.from_url(redis_url) as client:
        for _ in range(3 * STREAM_MAX_LENGTH):
            client.xadd(stream, {"event": "an old one"})
        sender.send(event)
        until(lambda: client.xlen(stream) < 1.2 * STREAM_MAX_LENGTH, "trimmed stream")
    sender.close()


@pytest.fixture
def unresponsive_server() -> Iterator[str]:
    """The URL of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


@pytest.mark.parametrize("failure", ["refused", "unresponsive", "invalid URL", "unknown option", "unknown encoding"])
def test_a_failing_redis_neither_slows_nor_stops_the_run(
    failure: str, unused_port: int, unresponsive_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    urls = {
        "refused": f"redis://127.0.0.1:{unused_port}/0",
        "unresponsive": unresponsive_server,
        "invalid URL": "http://nowhere",
        "unknown option": f"redis://127.0.0.1:{unused_port}/0?nonsense=1",
        "unknown encoding": f"redis://127.0.0.1:{unused_port}/0?encoding=utf-99",
    }
    url = urls[failure]
    progress = ProgressTracker(1, plan_training(TRAINING), RedisSender(url, "stream"))

    begun = time.monotonic()
    progress.enter(Stage.TRAINING, 500)
    for step in range(1, 501):
        progress.step(500, 500, loss=1.0 / step)
    reported = time.monotonic() - begun
    progress.__exit__(None, None, None)

    assert reported < 1.0
    assert time.monotonic() - begun < 4.0
    assert len([each for each in caplog.records if each.levelname == "WARNING"]) == 1


def test_events_are_sent_again_once_redis_is_back(
    unused_port: int, serve_redis: Callable[[int], AbstractContextManager[str]], until: Callable[..., None]
) -> None:
    event = ProgressEvent(attempt=1, stage=Stage.TRAINING, time=datetime.now(UTC))
    sender = RedisSender(f"redis://127.0.0.1:{unused_port}/0", "stream")
    sender.send(event)

    with serve_redis(unused_port) as url, redis.Redis.from_url(url) as client:

        def arrived() -> bool:
            sender.send(event)
            return bool(client.xlen("stream"))

        until(arrived, "event after the outage")
        sender.close()


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


def test_the_stream_keeps_the_newest_preview_only(redis_url: str) -> None:
    stream, clock = stream_name(str(uuid.uuid4())), Clock()
    with ProgressTracker(1, plan_training(TRAINING), RedisSender(redis_url, stream), clock) as progress:
        progress.enter(Stage.DENOISING, 50)
        for step in (5, 10, 15):
            clock.now += MIN_INTERVAL_SECONDS
            progress.step(step)
            progress.preview(7, step, JPEG)

    with redis.Redis.from_url(redis_url) as client:
        events = [ProgressEvent.model_validate_json(entry[b"event"]) for _, entry in client.xrange(stream)]
    assert [event.preview.step for event in events if event.preview is not None] == [15]
    assert [event.step for event in events if event.preview is None] == [0, 5, 10, 15]


def test_previews_do_not_displace_other_events(unresponsive_server: str) -> None:
    sender = RedisSender(unresponsive_server, "stream")
    event = ProgressEvent(attempt=1, stage=Stage.DENOISING, files=("a.png",), time=datetime.now(UTC))
    sender.send(event)
    for step in range(1, 3 * QUEUE_LENGTH):
        sender.send(event.model_copy(update={"files": (), "preview": Preview(seed=7, step=step, jpeg=JPEG)}))

    queued = sender._events.qsize()

    assert queued <= MAX_QUEUED_WITH_PREVIEW + 1
    sender.close()
