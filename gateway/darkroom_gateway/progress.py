"""The door to Redis: the live progress of one job, as it comes. Asynchronous; used by events.py alone.

Redis may vanish at any time. Then reads raise `ProgressUnavailableError`, and whoever reads goes on with the status.
"""

import logging
from dataclasses import dataclass

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from darkroom_contract import environment
from darkroom_contract.progress import STREAM_FIELD, ProgressEvent, read_stream_entries, stream_name
from darkroom_gateway.errors import ProgressUnavailableError, SettingsError
from darkroom_gateway.settings import Settings

log = logging.getLogger(__name__)

CONNECT_SECONDS = 1.0
READ_MARGIN_SECONDS = 2.0
"""How much longer than its own wait an answer may take."""

BATCH = 200

BEGINNING = "0-0"
"""Before the first entry of any stream."""


@dataclass(frozen=True)
class Entry:
    """One event of a stream and its place in it."""

    id: str
    event: ProgressEvent | None
    """None for what can't be read: whoever reads on must still pass it."""


class Progress:
    """The progress streams of all jobs."""

    def __init__(self, settings: Settings) -> None:
        """Raises `SettingsError` for an address that is none."""
        self._redis: Redis | None = None
        if settings.redis_url is not None:
            self._redis = _connect(settings.redis_url, settings.events_poll_seconds + READ_MARGIN_SECONDS)

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()

    async def read(self, job_uid: str, after: str, wait_seconds: float) -> list[Entry]:
        """The entries behind `after`, waiting for the first when there is none yet; empty when none came in time.

        A `wait_seconds` of 0 does not wait. Raises `ProgressUnavailableError`.
        """
        if self._redis is None:
            raise ProgressUnavailableError("No Redis is set up.")
        block = max(1, round(wait_seconds * 1000)) if wait_seconds > 0 else None
        name = stream_name(job_uid)
        try:
            entries = read_stream_entries(await self._redis.xread({name: after}, count=BATCH, block=block))
        except (RedisError, OSError, TimeoutError) as error:
            raise ProgressUnavailableError("Redis can't be reached.") from error
        except ValueError as error:
            raise ProgressUnavailableError(f"Redis answered what can't be read: {error}.") from error
        return [Entry(entry_id, _event(fields)) for entry_id, fields in entries]

    async def forget(self, job_uid: str) -> None:
        """Remove a job's stream. Without Redis it is left to expire a day after its last event."""
        if self._redis is None:
            return
        try:
            await self._redis.delete(stream_name(job_uid))
        except (RedisError, OSError, TimeoutError) as error:
            log.info("left a progress stream to expire: %s", error)


def _connect(url: str, timeout_seconds: float) -> Redis:
    try:
        client = Redis.from_url(
            url,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=timeout_seconds,
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


def _event(fields: dict[str, str]) -> ProgressEvent | None:
    try:
        return ProgressEvent.model_validate_json(fields.get(STREAM_FIELD, ""))
    except ValidationError as error:
        log.warning("left out an entry of a progress stream that can't be read: %s", error)
        return None
