"""The errors of requests beyond a limit. Part of the tree in darkroom_gateway.errors."""

from darkroom_gateway.errors import GatewayError


class TooManyRequestsError(GatewayError):
    """A limit that is expected to have free capacity after `retry_after_seconds`."""

    status = 429
    title = "Too many requests"

    def __init__(self, detail: str, *, retry_after_seconds: int) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class RateLimitedError(TooManyRequestsError):
    title = "Too many requests a minute"


class QueueFullError(TooManyRequestsError):
    title = "The queue is full"


class QuotaExceededError(TooManyRequestsError):
    title = "The quota of the API key is used up"
