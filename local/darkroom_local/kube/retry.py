"""Repeats requests during an outage of the API server. Used by the node."""

import logging
from collections.abc import Awaitable, Callable

import httpx

from darkroom_local.backoff import ExponentialBackoff
from darkroom_local.errors import ApiError
from darkroom_local.kube.client import Json

log = logging.getLogger(__name__)


def request_backoff() -> ExponentialBackoff:
    """The delays between attempts to reach the API server."""
    return ExponentialBackoff(first_seconds=0.2, longest_seconds=5.0, jitter=0.2)


async def retry_until_answered(attempt: Callable[[], Awaitable[Json]]) -> Json:
    """Repeat a request while the API server is unreachable or answers 429 or 5xx.

    Raises `ApiError` for every other error, such as 404 for an object that is gone.
    """
    backoff = request_backoff()
    while True:
        try:
            return await attempt()
        except httpx.TransportError as error:
            log.warning("the API server can't be reached (%r); retrying", error)
        except ApiError as error:
            if error.status != 429 and error.status < 500:
                raise
            log.warning("the API server answered %s; retrying", error)
        await backoff.wait()
