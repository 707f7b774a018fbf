"""Responds 429 to clients that send too many requests. Middleware, installed by app.py when a limit is configured.

A client is an API key, or without keys an address: an IPv6 client has a /64 network. Gateways share their counts
through Redis (redis/shared_buckets.py), for which no request waits. Open paths, such as probes and the files of pages,
are not limited. Responses have the headers `RateLimit` and `RateLimit-Policy`
(draft-ietf-httpapi-ratelimit-headers-10), so that clients can slow down in time.
"""

import ipaddress
import logging
import math
from collections.abc import Callable, Container
from functools import lru_cache

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from darkroom_gateway.http.body_limit import refuse_unread
from darkroom_gateway.http.root_path import route_path
from darkroom_gateway.limits.errors import RateLimitedError
from darkroom_gateway.limits.rate_limiter import WINDOW_SECONDS, Allowance, RateLimiter

log = logging.getLogger(__name__)

POLICY = "requests"
"""Name of the policy in the headers."""
IPV6_PREFIX = 64
"""Networks of this size are given to one customer."""


class RateLimitMiddleware:
    """Counts the requests of each client."""

    def __init__(
        self, app: ASGIApp, limiter: RateLimiter, open_paths: Container[str], count_refusal: Callable[[], None]
    ) -> None:
        """Requests to `open_paths` are not counted. `count_refusal` is called for each 429."""
        self._app = app
        self._limiter = limiter
        self._open_paths = open_paths
        self._count_refusal = count_refusal
        self._policy = f'"{POLICY}";q={limiter.requests_per_minute};w={WINDOW_SECONDS:.0f}'.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or route_path(scope) in self._open_paths:
            await self._app(scope, receive, send)
            return
        client = client_of(scope)
        allowance = self._limiter.take(client)

        async def send_with_allowance(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [(b"ratelimit-policy", self._policy), (b"ratelimit", _state(allowance))]
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        if allowance.accepted:
            await self._app(scope, receive, send_with_allowance)
            return
        self._count_refusal()
        log.info("%s %s: %s has sent too many requests", scope["method"], scope["path"], client)
        await refuse_unread(self._refusal(allowance), scope, receive, send_with_allowance)

    def _refusal(self, allowance: Allowance) -> RateLimitedError:
        seconds = math.ceil(allowance.reset_seconds)
        return RateLimitedError(
            f"This client has sent more than {self._limiter.requests_per_minute} requests a minute. Wait {seconds} s, "
            "and follow jobs by their event streams instead of polling.",
            retry_after_seconds=seconds,
        )


def client_of(scope: Scope) -> str:
    """The name of the request's API key, or its client's address."""
    name: str | None = scope.get("state", {}).get("key_name")
    if name is not None:
        return name
    client = scope.get("client")
    return "" if client is None else _network(client[0])


@lru_cache(maxsize=1024)
def _network(host: str) -> str:
    """Key names contain no colon and no slash: an IPv6 network is never one. An IPv4 address could be, but a gateway
    has either keys or none."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return host if address.version == 4 else str(ipaddress.ip_network((address, IPV6_PREFIX), strict=False))


def _state(allowance: Allowance) -> bytes:
    return f'"{POLICY}";r={allowance.remaining};t={math.ceil(allowance.reset_seconds)}'.encode()
