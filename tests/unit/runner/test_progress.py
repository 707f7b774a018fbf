"""Progress: what listeners read, how often, and that a Redis in trouble neither stops nor slows a run."""

import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime

import pytest
import redis

from darkroom_contract.plan import plan_generation, plan_training
from darkroom_contract.progress import STREAM_MAX_LENGTH, ProgressEvent, Stage, stream_name
from darkroom_contract.specs import GenerateJobSpec, TrainJobSpec
from darkroom_runner.estimate import Estimate
from darkroom_runner.progress import MIN_INTERVAL_SECONDS, Progress, RedisSender

TRAINING = TrainJobSpec.from_dict(
    {"modelId": "m", "prompt": "p", "dataset": {"uri": "s3://bucket/photos/"}, "maxSteps": 100}
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Heard:
    """A sender that remembers."""

    def __init__(self) -> None:
        self.events: list[ProgressEvent] = []

    def send(self, event: ProgressEvent) -> None:
        self.events.append(event)

    def close(self) -> None:
        self.events.append(self.events[-1])


def test_a_stage_s_first_and_last_steps_are_always_told_and_the_rest_now_and_then() -> None:
    clock, heard = Clock(), Heard()
    progress = Progress(1, plan_training(TRAINING), heard, clock)

    progress.enter(Stage.TRAINING, 100)
    for step in range(1, 101):
        progress.step(step, 100, loss=0.5)
        clock.now += MIN_INTERVAL_SECONDS / 10

    told = [event.step for event in heard.events]
    assert told[:2] == [0, 1]
    assert told[-1] == 100
    assert 10 <= len(told) <= 14
    assert heard.events[-1].metrics == {"loss": 0.5}


def test_what_an_earlier_run_has_done_says_nothing_about_the_pace() -> None:
    clock = Clock()
    estimate = Estimate({Stage.TRAINING: 100.0}, clock)
    estimate.enter(Stage.TRAINING, 0.5)
    clock.now += 10

    reading = estimate.read(60, 100)

    assert reading.percentage == pytest.approx(60.0)
    assert reading.remaining_seconds == pytest.approx(40.0)


def test_the_percentage_never_falls_and_ends_at_100() -> None:
    clock, heard = Clock(), Heard()
    progress = Progress(1, plan_training(TRAINING), heard, clock)

    for stage in (Stage.DOWNLOADING, Stage.LOADING_MODEL, Stage.ENCODING, Stage.TRAINING, Stage.UPLOADING, Stage.DONE):
        progress.enter(stage, 4)
        for step in range(1, 5):
            clock.now += 1
            progress.step(step, 4)

    told = [event.progress_percentage for event in heard.events]
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0.0, 100.0)
    assert heard.events[-1].estimated_remaining_seconds == 0.0


def test_the_time_left_follows_the_pace_of_the_work() -> None:
    clock = Clock()
    estimate = Estimate({Stage.TRAINING: 100.0, Stage.UPLOADING: 1.0}, clock)
    estimate.enter(Stage.TRAINING)
    clock.now += 50

    remaining = estimate.read(25, 100).remaining_seconds

    assert remaining == pytest.approx(150 + 2)


def test_nothing_is_claimed_of_the_time_left_before_anything_was_done() -> None:
    estimate = Estimate(plan_training(TRAINING), Clock())
    estimate.enter(Stage.DOWNLOADING)

    assert estimate.read(0, 0).remaining_seconds is None


@pytest.mark.parametrize("motion", [True, False])
def test_a_plan_names_the_stages_of_its_run(motion: bool) -> None:
    plan = plan_generation(GenerateJobSpec.from_dict({"prompt": "p", "allowMotion": motion}))

    assert (Stage.ANIMATING in plan) is motion
    assert Stage.DENOISING in plan


def test_events_arrive_in_order_in_a_capped_stream_that_expires(redis_url: str) -> None:
    stream = stream_name(str(uuid.uuid4()))
    progress = Progress(3, plan_training(TRAINING), RedisSender(redis_url, stream))
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


def test_a_stream_keeps_the_newest_events_only(redis_url: str, until: Callable[..., None]) -> None:
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
def deaf_server() -> Iterator[str]:
    """Accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


@pytest.mark.parametrize("trouble", ["refused", "deaf", "nonsense", "unknown option", "unknown encoding"])
def test_a_redis_in_trouble_slows_nothing_and_stops_nothing(
    trouble: str, unused_port: int, deaf_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    urls = {
        "refused": f"redis://127.0.0.1:{unused_port}/0",
        "deaf": deaf_server,
        "nonsense": "http://nowhere",
        "unknown option": f"redis://127.0.0.1:{unused_port}/0?nonsense=1",
        "unknown encoding": f"redis://127.0.0.1:{unused_port}/0?encoding=utf-99",
    }
    url = urls[trouble]
    progress = Progress(1, plan_training(TRAINING), RedisSender(url, "stream"))

    begun = time.monotonic()
    progress.enter(Stage.TRAINING, 500)
    for step in range(1, 501):
        progress.step(500, 500, loss=1.0 / step)
    reported = time.monotonic() - begun
    progress.__exit__(None, None, None)

    assert reported < 1.0
    assert time.monotonic() - begun < 4.0
    assert len([each for each in caplog.records if each.levelname == "WARNING"]) == 1


def test_a_redis_that_comes_back_is_told_again(
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
