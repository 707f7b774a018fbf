"""Several gateways share their limit of requests through a real Redis, which may vanish at any time."""

import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from support.valkey import Valkey
from support.waiting import waiter

from darkroom_gateway.limits.rate_limiter import RateLimiter
from darkroom_gateway.redis.shared_buckets import MAX_EMPTY_SECONDS, SharedBuckets

PER_MINUTE = 6
"""Slow enough that no bucket refills while a test runs."""

wait_until = waiter(30)


class Replica:
    """The limiter of one gateway."""

    def __init__(self, url: str, namespace: str) -> None:
        self.limiter = RateLimiter(PER_MINUTE, lambda: 1000.0)
        self.buckets = SharedBuckets(self.limiter, url, namespace)

    def take(self, count: int, client: str = "alice") -> int:
        """The number of requests that are accepted."""
        return sum(self.limiter.take(client).accepted for _ in range(count))


@contextlib.asynccontextmanager
async def two_replicas(url: str) -> AsyncIterator[tuple[Replica, Replica]]:
    namespace = f"shared-{secrets.token_hex(6)}"
    first, second = Replica(url, namespace), Replica(url, namespace)
    try:
        yield first, second
    finally:
        for each in (first, second):
            await each.buckets.close()


async def test_requests_to_one_gateway_count_at_the_others(redis_url: str) -> None:
    async with two_replicas(redis_url) as (first, second):
        assert first.take(4) == 4
        await first.buckets.exchange()
        assert second.take(1) == 1

        await second.buckets.exchange()

        assert second.take(9) == 1
        assert second.take(9, "bob") == PER_MINUTE
        await second.buckets.exchange()
        assert first.limiter.take("bob").accepted  # It learns of bob with its first exchange.
        await first.buckets.exchange()
        assert first.take(1, "bob") == 0


async def test_more_than_the_limit_is_paid_back_within_bounds(redis_url: str) -> None:
    async with two_replicas(redis_url) as (first, second):
        for each in (first, second):
            each.take(PER_MINUTE)
        await first.buckets.exchange()
        await second.buckets.exchange()

        refused = second.limiter.take("alice")

        assert not refused.accepted
        assert 60 < refused.reset_seconds <= MAX_EMPTY_SECONDS


async def test_gateways_count_by_themselves_while_redis_is_away(tmp_path: Path) -> None:
    with Valkey(tmp_path) as valkey:
        async with two_replicas(valkey.url) as (first, second):
            valkey.stop()
            assert first.take(4) == 4
            await first.buckets.exchange()
            assert (first.take(9), second.take(9)) == (2, PER_MINUTE)
            await first.buckets.exchange()

            valkey.start()
            assert second.take(1) == 0
            second.limiter.drain_taken()
            first.take(1, "bob")
            await first.buckets.exchange()
            second.take(1, "bob")
            await second.buckets.exchange()

            assert second.take(9, "bob") == PER_MINUTE - 2


async def test_damaged_buckets_in_redis_never_block_a_client_for_long(tmp_path: Path) -> None:
    clients = {"nan": "nan", "inf": "inf", "past": "-5", "future": "9999999999999", "text": "x", "empty": ""}
    with Valkey(tmp_path) as valkey:
        async with two_replicas(valkey.url) as (first, second):
            for client, value in clients.items():
                valkey.client.set(f"{first.buckets.prefix}{client}", value)
            valkey.client.lpush(f"{first.buckets.prefix}alice", "of another type")
            for client in ("alice", "bob", *clients):
                first.take(1, client)
            await first.buckets.exchange()

            found = {client: first.limiter.take(client) for client in clients}
            assert {client for client, each in found.items() if each.accepted} == {"nan", "past", "text", "empty"}
            assert max(each.reset_seconds for each in found.values()) <= MAX_EMPTY_SECONDS
            for client in ("alice", "bob"):
                second.take(1, client)
            await second.buckets.exchange()
            assert [second.take(9, client) for client in ("alice", "bob")] == [PER_MINUTE - 2] * 2


def test_gateways_share_the_limit_of_a_client(start_gateway: Callable[..., Any], environment: dict[str, str]) -> None:
    namespace = f"shared-{secrets.token_hex(6)}"
    settings = {**environment, "DARKROOM_NAMESPACE": namespace, "DARKROOM_GATEWAY_REQUESTS_PER_MINUTE": "100"}
    with start_gateway(settings) as first, start_gateway(settings) as second:
        wait_until(lambda: first.http.get("/nowhere").status_code == 429, "the first gateway refuses")
        answers: list[int] = []

        def is_refused() -> bool:
            answers.append(second.http.get("/nowhere").status_code)
            return answers[-1] == 429

        wait_until(is_refused, "the second gateway refuses")

    assert len(answers) < 90  # By itself it would accept 100 at once.
