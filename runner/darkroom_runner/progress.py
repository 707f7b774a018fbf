"""The door to Redis: what the run is doing, told to whoever listens.

Every room of the runner reports here. Reporting never blocks and never fails a run: events go to a short queue and
a thread of its own sends them; when Redis is slow or gone, they are lost, and the log says so once.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Protocol, Self

from darkroom_contract.plan import Plan
from darkroom_contract.progress import (
    STREAM_FIELD,
    STREAM_MAX_LENGTH,
    STREAM_TTL_SECONDS,
    ProgressEvent,
    Stage,
    stream_name,
)
from darkroom_contract.runs import RunDocument
from darkroom_runner.estimate import Estimate

log = logging.getLogger(__name__)

MIN_INTERVAL_SECONDS = 0.25
"""Steps that follow each other faster than this are told only now and then; first and last always."""

REDIS_TIMEOUT_SECONDS = 1.5
RETRY_SECONDS = 2.0
CLOSE_TIMEOUT_SECONDS = 2.0
QUEUE_LENGTH = 64


class Sender(Protocol):
    """Takes events away without ever blocking."""

    def send(self, event: ProgressEvent) -> None: ...

    def close(self) -> None: ...


class Silence:
    """The sender when there is no Redis."""

    def send(self, event: ProgressEvent) -> None:
        """Nobody listens."""

    def close(self) -> None:
        """Nothing is open."""


class RedisSender:
    """A queue and the thread that empties it into a capped Redis stream."""

    def __init__(self, url: str, stream: str) -> None:
        self._url = url
        self._stream = stream
        self._events: queue.Queue[ProgressEvent | None] = queue.Queue(QUEUE_LENGTH)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="progress", daemon=True)
        self._thread.start()

    def send(self, event: ProgressEvent) -> None:
        self._put(event)

    def close(self) -> None:
        """Give what is queued a short time to leave."""
        self._closing.set()
        self._put(None)
        self._thread.join(CLOSE_TIMEOUT_SECONDS)

    def _put(self, event: ProgressEvent | None) -> None:
        """Newer events are worth more than older ones."""
        while True:
            try:
                self._events.put_nowait(event)
            except queue.Full:
                self._drop_oldest()
            else:
                return

    def _drop_oldest(self) -> None:
        try:
            self._events.get_nowait()
        except queue.Empty:
            return

    def _work(self) -> None:
        # Imported here: it would hold up the start of the run.
        from redis import Redis, RedisError
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        try:
            client = Redis.from_url(
                self._url,
                socket_timeout=REDIS_TIMEOUT_SECONDS,
                socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 0),
            )
            # Connects to nothing, yet finds the faults of the query that redis-py would raise with the first command.
            pool = client.connection_pool
            pool.connection_class(**pool.connection_kwargs).encoder.encode("")
        except (ValueError, TypeError, LookupError, RedisError) as error:
            log.warning("no live progress, the address of Redis is wrong: %s", error)
            return
        with client:
            self._send_on(client, RedisError)

    def _send_on(self, client: "Redis", failures: type[Exception]) -> None:  # type: ignore[name-defined]  # noqa: F821
        """Until the queue is closed."""
        warned = False
        while (event := self._events.get()) is not None:
            try:
                self._write(client, event)
                warned = False
            except failures as error:
                if not warned:
                    log.warning("no live progress while Redis can't be reached: %s", error)
                warned = True
                self._closing.wait(RETRY_SECONDS)

    def _write(self, client: "Redis", event: ProgressEvent) -> None:  # type: ignore[name-defined]  # noqa: F821
        with client.pipeline(transaction=False) as pipe:
            entry = {STREAM_FIELD: event.model_dump_json(by_alias=True, exclude_none=True)}
            pipe.xadd(self._stream, entry, maxlen=STREAM_MAX_LENGTH, approximate=True)
            pipe.expire(self._stream, STREAM_TTL_SECONDS)
            pipe.execute()


class Progress:
    """What the rooms of the runner report to: stages, and steps within them. A context manager."""

    def __init__(self, attempt: int, plan: Plan, sender: Sender, clock: Callable[[], float] = time.monotonic) -> None:
        self._attempt = attempt
        self._sender = sender
        self._clock = clock
        self._estimate = Estimate(plan, clock)
        self._stage = Stage.DOWNLOADING
        self._sent_at = float("-inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._sender.close()

    def enter(self, stage: Stage, total: int = 0, done: int = 0) -> None:
        """Begin a stage of `total` steps; 0 when it has none to count. An earlier run may have `done` some of them."""
        log.info("%s", stage)
        self._stage = stage
        self._estimate.enter(stage, done / total if total else 0.0)
        self._send(done, total, {})

    def step(self, step: int, total: int, **metrics: float) -> None:
        """Step number `step` of `total`, counted from 1, is done."""
        due = self._clock() - self._sent_at >= MIN_INTERVAL_SECONDS
        if due or step <= 1 or step >= total:
            self._send(step, total, metrics)

    def _send(self, step: int, total: int, metrics: dict[str, float]) -> None:
        reading = self._estimate.read(step, total)
        event = ProgressEvent(
            attempt=self._attempt,
            stage=self._stage,
            step=step,
            total=total,
            progress_percentage=round(reading.percentage, 2),
            estimated_remaining_seconds=None
            if reading.remaining_seconds is None
            else round(reading.remaining_seconds, 1),
            metrics=metrics,
            time=datetime.now(UTC),
        )
        self._sent_at = self._clock()
        self._sender.send(event)


def open_progress(document: RunDocument, plan: Plan, redis_url: str | None) -> Progress:
    """The progress of a run, sent to the job's stream when there is a Redis."""
    sender = RedisSender(redis_url, stream_name(document.uid)) if redis_url else Silence()
    return Progress(document.attempt, plan, sender)
