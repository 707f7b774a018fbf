"""Sends progress events to a Redis stream without ever blocking or failing the run.

Events go into a short queue that a background thread empties. While Redis is slow or unreachable, events are dropped,
oldest first, and one warning is logged. Previews are dropped first, and the stream keeps only the newest one: they are
much larger than other events, and nobody needs an old one.
"""

import logging
import queue
import threading
from typing import Protocol

from darkroom_contract.progress import STREAM_FIELD, STREAM_MAX_LENGTH, STREAM_TTL_SECONDS, ProgressEvent
from darkroom_contract.redis_url import REDIS_URL_FORM, check_redis_url

log = logging.getLogger(__name__)

REDIS_TIMEOUT_SECONDS = 1.5
RETRY_SECONDS = 2.0
CLOSE_TIMEOUT_SECONDS = 2.0
QUEUE_LENGTH = 64
MAX_QUEUED_WITH_PREVIEW = 8
"""A preview is not queued behind more events than this."""


class EventSender(Protocol):
    """Accepts events without blocking."""

    def send(self, event: ProgressEvent) -> None: ...

    def close(self) -> None: ...


class NullSender:
    """Discards events: for runs without Redis."""

    def send(self, event: ProgressEvent) -> None:
        """Discard the event."""

    def close(self) -> None:
        """Nothing to close."""


class RedisSender:
    """A bounded queue, and the thread that writes its events to a capped Redis stream."""

    def __init__(self, url: str, stream: str) -> None:
        self._url = url
        self._stream = stream
        self._events: queue.Queue[ProgressEvent | None] = queue.Queue(QUEUE_LENGTH)
        self._closing = threading.Event()
        self._newest_preview: bytes | None = None
        """Id of the stream's entry with a preview."""
        self._thread = threading.Thread(target=self._work, name="progress", daemon=True)
        self._thread.start()

    def send(self, event: ProgressEvent) -> None:
        if event.preview is None or self._events.qsize() <= MAX_QUEUED_WITH_PREVIEW:
            self._put(event)

    def close(self) -> None:
        """Send queued events for at most `CLOSE_TIMEOUT_SECONDS`, then give up."""
        self._closing.set()
        self._put(None)
        self._thread.join(CLOSE_TIMEOUT_SECONDS)

    def _put(self, event: ProgressEvent | None) -> None:
        """Add to the queue; a full queue drops its oldest event, since newer ones are more useful."""
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
        # Imported in the thread, so that the import does not delay the run.
        from redis import Redis, RedisError
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        try:
            check_redis_url(self._url)
            client = Redis.from_url(
                self._url,
                socket_timeout=REDIS_TIMEOUT_SECONDS,
                socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 0),
            )
            # Does not connect, but finds errors in the URL's query that redis-py would raise at the first command.
            pool = client.connection_pool
            pool.connection_class(**pool.connection_kwargs).encoder.encode("")
        except (ValueError, TypeError, LookupError, RedisError):
            # Without redis-py's message, which repeats a part of a password that is not percent-encoded.
            log.warning("live progress is off: the Redis URL is invalid. %s", REDIS_URL_FORM)
            return
        with client:
            self._send_queued(client, RedisError)

    def _send_queued(self, client: "Redis", failures: type[Exception]) -> None:  # type: ignore[name-defined]  # noqa: F821
        """Write events to Redis until the queue is closed."""
        warned = False
        while (event := self._events.get()) is not None:
            try:
                self._write(client, event)
                warned = False
            except failures as error:
                if not warned:
                    log.warning("live progress is off until Redis can be reached again: %s", error)
                warned = True
                self._closing.wait(RETRY_SECONDS)

    def _write(self, client: "Redis", event: ProgressEvent) -> None:  # type: ignore[name-defined]  # noqa: F821
        with client.pipeline(transaction=False) as pipe:
            entry = {STREAM_FIELD: event.model_dump_json(by_alias=True, exclude_none=True)}
            pipe.xadd(self._stream, entry, maxlen=STREAM_MAX_LENGTH, approximate=True)
            pipe.expire(self._stream, STREAM_TTL_SECONDS)
            if event.preview is not None and self._newest_preview is not None:
                # After the new one is added: readers take a stream whose newest entry is gone for a lost one.
                pipe.xdel(self._stream, self._newest_preview)
            added, *_ = pipe.execute()
        if event.preview is not None:
            self._newest_preview = added
