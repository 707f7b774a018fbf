"""The door to Redis: the live progress of many jobs over one connection. Asynchronous; used by events/hub.py alone.

Redis may vanish at any time. Then reads raise `ProgressUnavailableError`, and streams of events go on with the status.
A deadline here counts turns of the event loop and not the clock: a loop that is busy for seconds is no outage.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from darkroom_contract import environment
from darkroom_contract.progress import STREAM_FIELD, ProgressEvent, read_stream_entries, read_streams, stream_name
from darkroom_gateway.backends.deadlines import REDIS_SILENCE_SECONDS
from darkroom_gateway.errors import ProgressUnavailableError, SettingsError
from darkroom_gateway.settings import Settings

log = logging.getLogger(__name__)

TURN_SECONDS = 0.1
"""One turn of a deadline: the event loop has to come round this often before an answer counts as missing."""

ENTRIES_IN_A_READ = 400
"""Of all streams together, so that rendering them holds up the event loop for milliseconds only."""

MAX_ENTRIES_OF_A_STREAM = 200
MIN_ENTRIES_OF_A_STREAM = 10

LAST_EVENT_ID_PATTERN = r"^[0-9]{1,20}-[0-9]{1,20}$"
"""An id as Redis writes it. It never reaches Redis, whose numbers end at 64 bits: a larger one is ahead of it all."""


class EntryId(NamedTuple):
    """The id of a stream's entry. Redis orders entries as this tuple does."""

    milliseconds: int
    sequence: int

    @classmethod
    def read(cls, text: str) -> Self:
        """From `1795501214886-0`. Raises `ValueError`."""
        milliseconds, sequence = text.split("-")
        return cls(int(milliseconds), int(sequence))

    def __str__(self) -> str:
        return f"{self.milliseconds}-{self.sequence}"


BEGINNING = EntryId(0, 0)
"""Before the first entry of any stream."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of a stream and its place in it."""

    id: EntryId
    event: ProgressEvent | None
    """None for what can't be read: a reader still has to pass it."""


@dataclass(frozen=True)
class Reading:
    """One look at several streams, by the uid of their jobs."""

    entries: Mapping[str, list[Entry]]
    """Streams without new entries are left out."""
    limit: int
    """Entries of one stream that were asked for: a stream that gave fewer has been read to its end."""
    refused: Mapping[str, ProgressUnavailableError] = field(default_factory=dict)
    """Streams that Redis did not let us read, while it did others."""


class ProgressStreams:
    """The progress streams of all jobs. It has one connection, so it serves one caller at a time."""

    def __init__(self, settings: Settings) -> None:
        """Raises `SettingsError` for an address that is none."""
        self._url = settings.redis_url
        self._redis = None if self._url is None else _connect(self._url)

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()

    async def read(self, positions: Mapping[str, EntryId], wait_seconds: float) -> Reading:
        """The entries behind the position of each job's stream, waiting for the first while no stream has any.

        A `wait_seconds` of 0 does not wait. Raises `ProgressUnavailableError`.
        """
        client = self._client()
        limit = max(MIN_ENTRIES_OF_A_STREAM, min(MAX_ENTRIES_OF_A_STREAM, ENTRIES_IN_A_READ // len(positions)))
        streams: dict[Any, Any] = {stream_name(uid): str(after) for uid, after in positions.items()}
        block = max(1, round(wait_seconds * 1000)) if wait_seconds > 0 else None
        try:
            answer = await _answer(lambda: client.xread(streams, count=limit, block=block), wait_seconds)
        except ResponseError:
            # One stream that can't be read fails the command for all: which one is it?
            return await self._read_each(positions, limit, wait_seconds)
        return Reading(_entries_by_uid(answer, positions), limit)

    async def newest(self, uids: Iterable[str]) -> dict[str, EntryId | None]:
        """The id of the last entry of each job's stream; None for a stream that is empty, or not there.

        A stream that can't be read is left out. Raises `ProgressUnavailableError`.
        """
        asked = list(uids)
        answers = await self._pipeline(
            lambda pipeline: [pipeline.xrevrange(stream_name(uid), count=1) for uid in asked]
        )
        found: dict[str, EntryId | None] = {}
        for uid, answer in zip(asked, answers, strict=True):
            if not isinstance(answer, Exception):
                entries = _readable(read_stream_entries, answer)
                found[uid] = EntryId.read(entries[-1][0]) if entries else None
        return found

    async def forget(self, job_uids: Collection[str]) -> None:
        """Remove the streams of jobs. Without Redis they are left to expire a day after their last event.

        Over a connection of its own: the other one is taken by reads that block.
        """
        if self._url is None or not job_uids:
            return
        try:
            async with _connect(self._url) as client:
                await _answer(lambda: client.delete(*map(stream_name, job_uids)))
        except (ResponseError, ProgressUnavailableError) as error:
            log.info("left %d progress streams to expire: %s", len(job_uids), error)

    async def _read_each(self, positions: Mapping[str, EntryId], limit: int, wait_seconds: float) -> Reading:
        """`read` in one command for each stream, so that those that Redis refuses hide no others."""
        answers = await self._pipeline(
            lambda pipeline: [
                pipeline.xread({stream_name(uid): str(after)}, count=limit) for uid, after in positions.items()
            ]
        )
        entries: dict[str, list[Entry]] = {}
        refused = {}
        for uid, answer in zip(positions, answers, strict=True):
            if isinstance(answer, Exception):
                log.warning("Redis refused to read %s: %s", stream_name(uid), answer)
                refused[uid] = ProgressUnavailableError("Redis refused to read the progress of this job.")
            else:
                entries |= _entries_by_uid(answer, [uid])
        if not entries:
            await asyncio.sleep(wait_seconds)
        return Reading(entries, limit, refused)

    async def _pipeline(self, add_commands: Callable[[Pipeline], object]) -> list[Any]:
        """The answers to several commands, each of which may be an exception. Raises `ProgressUnavailableError`."""
        client = self._client()

        async def execute() -> list[Any]:
            pipeline = client.pipeline(transaction=False)  # One that failed has forgotten its commands.
            add_commands(pipeline)
            answers: list[Any] = await pipeline.execute(raise_on_error=False)
            return answers

        found: list[Any] = await _answer(execute)
        return found

    def _client(self) -> Redis:
        if self._redis is None:
            raise ProgressUnavailableError("No Redis is set up.")
        return self._redis


async def _answer(command: Callable[[], Awaitable[Any]], wait_seconds: float = 0.0) -> Any:
    """What Redis answers. Raises `ResponseError` for a refusal, `ProgressUnavailableError` for no answer in time."""
    try:
        try:
            return await _within(command(), wait_seconds + REDIS_SILENCE_SECONDS)
        except RedisConnectionError:
            # Redis may have closed a connection that was idle. Only a new one tells whether it is there.
            return await _within(command(), wait_seconds + REDIS_SILENCE_SECONDS)
    except ResponseError:
        raise
    except (RedisError, OSError, TimeoutError) as error:
        raise ProgressUnavailableError("Redis can't be reached.") from error


async def _within(command: Awaitable[Any], seconds: float) -> Any:
    """The command's result. Raises `TimeoutError` when the event loop came round for that long without one."""
    task = asyncio.ensure_future(command)
    try:
        for _ in range(math.ceil(seconds / TURN_SECONDS)):
            done, _pending = await asyncio.wait({task}, timeout=TURN_SECONDS)
            if done:
                return task.result()
        raise TimeoutError
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _connect(url: str) -> Redis:
    try:
        client = Redis.from_url(
            url,
            # The deadlines are `_within`'s; redis-py's own go by the clock, also while the event loop is busy.
            socket_connect_timeout=None,
            socket_timeout=None,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
            encoding_errors="replace",
        )
        # Connects to nothing, yet finds the faults of the query that redis-py would raise with the first command.
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs).encoder.encode("")  # type: ignore[no-untyped-call]
        return client
    except (ValueError, TypeError, LookupError, RedisError):
        # Neither the address nor what is wrong with it is repeated: a password that wasn't quoted would be in both.
        raise SettingsError(
            f"{environment.REDIS_URL} is no address of a Redis. Write redis://user:password@host:6379/0, "
            "with all but letters and digits in the password percent-encoded, and nothing behind '?' but options of "
            "redis-py such as protocol=3."
        ) from None


def _readable(read: Callable[[object], Any], answer: object) -> Any:
    try:
        return read(answer)
    except ValueError as error:
        raise ProgressUnavailableError(f"Redis answered what can't be read: {error}.") from error


def _entries_by_uid(answer: object, uids: Iterable[str]) -> dict[str, list[Entry]]:
    streams = _readable(read_streams, answer)
    found = ((uid, streams.get(stream_name(uid))) for uid in uids)
    return {uid: [Entry(EntryId.read(id_), _event(fields)) for id_, fields in each] for uid, each in found if each}


def _event(fields: dict[str, str]) -> ProgressEvent | None:
    try:
        return ProgressEvent.model_validate_json(fields.get(STREAM_FIELD, ""))
    except ValidationError as error:
        log.warning("left out an entry of a progress stream that can't be read: %s", error)
        return None
