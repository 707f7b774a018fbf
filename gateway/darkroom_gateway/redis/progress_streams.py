"""Redis client: reads the progress streams of many jobs over one connection. Asynchronous.

Redis may fail at any time. Then reads raise `ProgressUnavailableError`, and event streams continue with the status
only.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ResponseError

from darkroom_contract.progress import STREAM_FIELD, ProgressEvent, read_stream_entries, read_streams, stream_name
from darkroom_gateway.errors import ProgressUnavailableError
from darkroom_gateway.redis.connection import RedisUnreachableError, connect, reply
from darkroom_gateway.settings import Settings

log = logging.getLogger(__name__)

ENTRIES_IN_A_READ = 400
"""Limit for all streams together, so that rendering blocks the event loop for milliseconds only."""

MAX_ENTRIES_OF_A_STREAM = 200
MIN_ENTRIES_OF_A_STREAM = 10

LAST_EVENT_ID_PATTERN = r"^[0-9]{1,20}-[0-9]{1,20}$"
"""An id in the format of Redis. It is not sent to Redis, so numbers beyond 64 bits do no harm."""


class EntryId(NamedTuple):
    """The id of a stream entry, ordered as in Redis."""

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
    """A stream entry."""

    id: EntryId
    event: ProgressEvent | None
    """None for an unreadable entry, which readers must still skip."""


@dataclass(frozen=True)
class Reading:
    """One read of several streams, by job uid."""

    entries: Mapping[str, list[Entry]]
    """Without streams that have no new entries."""
    limit: int
    """Maximum number of entries per stream. A stream that returned fewer was read to its end."""
    refused: Mapping[str, ProgressUnavailableError] = field(default_factory=dict)
    """Streams that Redis refused to read."""


class ProgressStreams:
    """The progress streams of all jobs. Has one connection, so only one caller may read at a time."""

    def __init__(self, settings: Settings) -> None:
        """Raises `SettingsError` for an invalid URL."""
        self._url = settings.redis_url
        self._redis = None if self._url is None else connect(self._url)

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()

    async def read(self, positions: Mapping[str, EntryId], wait_seconds: float) -> Reading:
        """The entries after the position of each job's stream. Blocks up to `wait_seconds` while there are none.

        Raises `ProgressUnavailableError`.
        """
        client = self._client()
        limit = max(MIN_ENTRIES_OF_A_STREAM, min(MAX_ENTRIES_OF_A_STREAM, ENTRIES_IN_A_READ // len(positions)))
        streams: dict[Any, Any] = {stream_name(uid): str(after) for uid, after in positions.items()}
        block = max(1, round(wait_seconds * 1000)) if wait_seconds > 0 else None
        try:
            answer = await _reply(lambda: client.xread(streams, count=limit, block=block), wait_seconds)
        except ResponseError:
            # One unreadable stream fails the command for all: read them one by one.
            return await self._read_each(positions, limit, wait_seconds)
        return Reading(_entries_by_uid(answer, positions), limit)

    async def newest(self, uids: Iterable[str]) -> dict[str, EntryId | None]:
        """The id of the latest entry of each job's stream; None for an empty or missing stream.

        Without unreadable streams. Raises `ProgressUnavailableError`.
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

    async def delete(self, job_uids: Collection[str]) -> None:
        """Delete the streams of jobs. If Redis is unavailable, they expire a day after their last event.

        Uses a new connection, because the other one is blocked by reads.
        """
        if self._url is None or not job_uids:
            return
        try:
            async with connect(self._url) as client:
                await _reply(lambda: client.delete(*map(stream_name, job_uids)))
        except (ResponseError, ProgressUnavailableError) as error:
            log.info("%d progress streams were not deleted and will expire: %s", len(job_uids), error)

    async def _read_each(self, positions: Mapping[str, EntryId], limit: int, wait_seconds: float) -> Reading:
        """`read` with one command per stream, so that refused streams don't affect others."""
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
        """The replies to several commands, each possibly an exception. Raises `ProgressUnavailableError`."""
        client = self._client()

        async def execute() -> list[Any]:
            pipeline = client.pipeline(transaction=False)  # A pipeline that failed has lost its commands.
            add_commands(pipeline)
            answers: list[Any] = await pipeline.execute(raise_on_error=False)
            return answers

        found: list[Any] = await _reply(execute)
        return found

    def _client(self) -> Redis:
        if self._redis is None:
            raise ProgressUnavailableError("No Redis is configured.")
        return self._redis


async def _reply(command: Callable[[], Awaitable[Any]], wait_seconds: float = 0.0) -> Any:
    """The reply of Redis. Raises `ResponseError` for an error reply, `ProgressUnavailableError` for none in time."""
    try:
        return await reply(command, wait_seconds)
    except RedisUnreachableError as error:
        raise ProgressUnavailableError(str(error)) from error


def _readable(read: Callable[[object], Any], answer: object) -> Any:
    try:
        return read(answer)
    except ValueError as error:
        raise ProgressUnavailableError(f"Redis sent an unreadable reply: {error}.") from error


def _entries_by_uid(answer: object, uids: Iterable[str]) -> dict[str, list[Entry]]:
    streams = _readable(read_streams, answer)
    found = ((uid, streams.get(stream_name(uid))) for uid in uids)
    return {uid: [Entry(EntryId.read(id_), _event(fields)) for id_, fields in each] for uid, each in found if each}


def _event(fields: dict[str, str]) -> ProgressEvent | None:
    try:
        return ProgressEvent.model_validate_json(fields.get(STREAM_FIELD, ""))
    except ValidationError as error:
        log.warning("skipped an unreadable entry of a progress stream: %s", error)
        return None
