"""Events of a run in Redis: a capped stream; a failing Redis neither stops nor slows a run."""

import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from operator import truediv

import pytest
import redis
from support.waiting import first_within

from darkroom_contract.plan import plan_training
from darkroom_contract.progress import STREAM_MAX_LENGTH, Preview, ProgressEvent, Stage, stream_name
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_runner.run.progress import MIN_INTERVAL_SECONDS, ProgressTracker
from darkroom_runner.run.progress_events import MAX_QUEUED_WITH_PREVIEW, QUEUE_LENGTH, RedisSender

TRAINING = TrainJobSpec.from_dict(
    {"modelId": "m", "prompt": "p", "dataset": {"uri": "s3://bucket/photos/"}, "maxSteps": 100}
)


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


JPEG = "/9j/" + 8000 * "A"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


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

    def seconds_of_a_run() -> tuple[float, float]:
        """Until its last step was reported, and until its end."""
        caplog.clear()
        progress = ProgressTracker(1, plan_training(TRAINING), RedisSender(urls[failure], "stream"))
        begun = time.monotonic()
        progress.enter(Stage.TRAINING, 500)
        for step in range(1, 501):
            progress.step(500, 500, loss=1.0 / step)
        reported = time.monotonic() - begun
        progress.__exit__(None, None, None)
        assert len([each for each in caplog.records if each.levelname == "WARNING"]) == 1
        return reported, time.monotonic() - begun

    # The part of both limits that was used: 1 s and 4 s.
    assert first_within(1.0, lambda: max(map(truediv, seconds_of_a_run(), (1.0, 4.0)))) < 1.0


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
