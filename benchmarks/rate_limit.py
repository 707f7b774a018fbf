"""CPU time that the rate limit adds to a request, beside the library `limits` (`pip install limits`).

    python benchmarks/rate_limit.py

Prints microseconds of CPU time for each check, and for the gateway's whole middleware with its headers.
"""

import asyncio
import importlib
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from darkroom_gateway.limits.middleware import RateLimitMiddleware
from darkroom_gateway.limits.rate_limiter import RateLimiter

REQUESTS = 20_000
ROUNDS = 5
REQUESTS_PER_MINUTE = 1_000_000


def main() -> None:
    limiter = RateLimiter(REQUESTS_PER_MINUTE)
    middleware = RateLimitMiddleware(_answer, RateLimiter(REQUESTS_PER_MINUTE), frozenset(), lambda: None)
    bare = _microseconds(lambda: asyncio.run(_requests(_answer)))
    own = _microseconds(lambda: [limiter.take("alice") for _ in range(REQUESTS)])
    whole = _microseconds(lambda: asyncio.run(_requests(middleware))) - bare
    print(f"check {own:.1f} us, middleware with headers {whole:.1f} us")
    try:
        strategies, storage, parse = (
            importlib.import_module(f"limits{name}") for name in (".strategies", ".storage", "")
        )
    except ImportError:
        print("the library limits is not installed: nothing to compare with")
        return
    reference = strategies.FixedWindowRateLimiter(storage.MemoryStorage())
    item = parse.parse(f"{REQUESTS_PER_MINUTE}/minute")

    def take() -> None:
        for _ in range(REQUESTS):
            reference.hit(item, "alice")
            reference.get_window_stats(item, "alice")

    theirs = _microseconds(take)
    print(f"limits, fixed window, with the values of the headers {theirs:.1f} us: {theirs / own:.1f} times ours")


def _microseconds(work: Callable[[], object]) -> float:
    """The least CPU time of several rounds, for each of their requests."""
    seconds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return min(seconds) / REQUESTS * 1e6


async def _requests(app: ASGIApp) -> None:
    for _ in range(REQUESTS):
        scope = {"type": "http", "method": "GET", "path": "/result", "headers": [], "state": {"key_name": "alice"}}
        await app(scope, _receive, _send)


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def _receive() -> Message:
    return {"type": "http.request"}


async def _send(message: Message) -> None:
    """Discards it."""


if __name__ == "__main__":
    main()
