"""Shares the token buckets of a rate limiter with the other gateways, through Redis. Run by app.py as a task.

No request waits for Redis: each gateway counts in its own memory, and four times a second adds what its clients have
taken to buckets in Redis, which answers with the state of all gateways together. Without Redis every gateway continues
with its own count, and what it counted in the meantime is not added later.
"""

import asyncio
import logging
import math
from collections.abc import Sequence

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from darkroom_gateway.limits.rate_limiter import WINDOW_SECONDS, RateLimiter
from darkroom_gateway.redis.connection import RedisUnreachableError, connect, reply

log = logging.getLogger(__name__)

ROUND_SECONDS = 0.25
RETRY_SECONDS = 5.0
"""Interval between attempts while Redis is away."""
MAX_CLIENTS_IN_ROUND = 200
"""The others follow in the next round: one round blocks the event loop for some 10 ms at most."""
MAX_EMPTY_SECONDS = 2 * WINDOW_SECONDS
"""A shared bucket is full again after this time at the latest, however much several gateways accepted at once."""

_ADD = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local stored = redis.pcall('GET', KEYS[1])
stored = type(stored) == 'string' and tonumber(stored)
if not stored or stored ~= stored or stored < now then stored = now end
local full = math.min(stored + tonumber(ARGV[1]), now + tonumber(ARGV[2]))
redis.call('SET', KEYS[1], string.format('%.6f', full), 'EX', math.ceil(full - now) + 1)
return string.format('%.6f', full - now)
"""
"""Adds seconds to the time at which a bucket will be full, and returns the seconds until then. The clock is that of
Redis, so clocks of gateways may differ. A key of another type is replaced: it would refuse every exchange."""


class SharedBuckets:
    """The buckets of one limiter in one Redis. Several gateways share those of their namespace."""

    def __init__(self, limiter: RateLimiter, url: str, namespace: str) -> None:
        """Opens no connection yet. Raises `SettingsError` for an invalid URL."""
        self._limiter = limiter
        self._redis = connect(url)
        self.prefix = f"darkroom:rate:{namespace}:"
        self._failing = False
        limiter.record_taken()

    async def run(self) -> None:
        """Exchange until cancelled."""
        try:
            while True:
                await asyncio.sleep(RETRY_SECONDS if self._failing else ROUND_SECONDS)
                await self.exchange()
        finally:
            await self.close()

    async def close(self) -> None:
        await self._redis.aclose()

    async def exchange(self) -> None:
        """Add to the shared buckets what clients have taken here, and take over their state."""
        taken = self._limiter.drain_taken(MAX_CLIENTS_IN_ROUND)
        if not taken:
            return
        try:
            answers = await reply(lambda: _add(self._redis, self._seconds_by_key(taken)))
            self._merge([client for client, _ in taken], answers)
        except (RedisUnreachableError, ResponseError, ValueError) as error:
            self._limiter.drain_taken()
            if not self._failing:
                log.warning("each gateway limits requests by itself until Redis answers: %s", error)
            self._failing = True
            return
        if self._failing:
            log.info("Redis answers again: all gateways share their limit of requests")
        self._failing = False

    def _merge(self, clients: Sequence[str], answers: Sequence[object]) -> None:
        """Raises the last `ResponseError` of the answers."""
        refusal: ResponseError | None = None
        for client, answer in zip(clients, answers, strict=True):
            if isinstance(answer, ResponseError):
                refusal = answer
            else:
                self._limiter.merge(client, _checked(answer))
        if refusal is not None:
            raise refusal

    def _seconds_by_key(self, taken: Sequence[tuple[str, int]]) -> Sequence[tuple[str, float]]:
        return [(self.prefix + client, count * self._limiter.interval_seconds) for client, count in taken]


async def _add(redis: Redis, seconds_by_key: Sequence[tuple[str, float]]) -> list[object]:
    pipeline = redis.pipeline(transaction=False)
    for key, seconds in seconds_by_key:
        pipeline.eval(_ADD, 1, key, f"{seconds:.6f}", f"{MAX_EMPTY_SECONDS:.0f}")
    answers: list[object] = await pipeline.execute(raise_on_error=False)
    return answers


def _checked(seconds: object) -> float:
    """Others can write to Redis. Raises `ValueError`."""
    found = float(str(seconds))
    if not math.isfinite(found):
        raise ValueError(f"Redis answered {seconds!r} instead of seconds.")
    return min(max(found, 0.0), MAX_EMPTY_SECONDS)
