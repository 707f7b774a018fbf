"""Connections to Redis, and commands with a timeout. Asynchronous; used by progress_streams.py and shared_buckets.py.

Redis may fail at any time. Timeouts count iterations of the event loop instead of time, so that a busy event loop is
not mistaken for an outage.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from darkroom_contract import environment
from darkroom_contract.redis_url import REDIS_URL_FORM, check_redis_url
from darkroom_gateway.backends.deadlines import REDIS_SILENCE_SECONDS
from darkroom_gateway.errors import SettingsError

TURN_SECONDS = 0.1
"""Duration of one iteration of a timeout."""


class RedisUnreachableError(Exception):
    """Redis can't be reached, or does not reply in time."""


def connect(url: str) -> Redis:
    """Opens no connection yet. Raises `SettingsError` for an invalid URL."""
    try:
        check_redis_url(url)
        client = Redis.from_url(
            url,
            # `reply` has the timeouts. Those of redis-py also expire while the event loop is busy.
            socket_connect_timeout=None,
            socket_timeout=None,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
            encoding_errors="replace",
        )
        # Opens no connection, but raises for invalid query options, as redis-py otherwise does at the first command.
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs).encoder.encode("")  # type: ignore[no-untyped-call]
        return client
    except (ValueError, TypeError, LookupError, RedisError):
        # Does not repeat the URL or redis-py's message: both would contain an unquoted password.
        raise SettingsError(f"{environment.REDIS_URL} is not a Redis URL. {REDIS_URL_FORM}") from None


async def reply(command: Callable[[], Awaitable[Any]], wait_seconds: float = 0.0) -> Any:
    """The reply of Redis. Raises `ResponseError` for an error reply, `RedisUnreachableError` for none in time."""
    try:
        try:
            return await _within(command(), wait_seconds + REDIS_SILENCE_SECONDS)
        except RedisConnectionError:
            # Redis may have closed an idle connection. A new one shows whether Redis is up.
            return await _within(command(), wait_seconds + REDIS_SILENCE_SECONDS)
    except ResponseError:
        raise
    except (RedisError, OSError, TimeoutError) as error:
        raise RedisUnreachableError("Redis can't be reached.") from error


async def _within(command: Awaitable[Any], seconds: float) -> Any:
    """The command's result. Raises `TimeoutError` after as many iterations of the event loop as fit `seconds`."""
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
