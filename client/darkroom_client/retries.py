"""Which failures are retried, and after what pause. Pure, except for the jitter."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from darkroom_client.errors import DarkroomError, DownloadError, GatewayError, GatewayUnreachableError

RETRIED_STATUSES = frozenset({429, 502, 503, 504})


@dataclass(frozen=True)
class Retries:
    """Exponential backoff with jitter. `Retry-After` of an answer takes precedence."""

    attempts: int = 6
    """Requests in all."""
    first_seconds: float = 0.5
    longest_seconds: float = 8.0
    longest_retry_after_seconds: float = 60.0
    """With a longer `Retry-After`, such as that of a daily quota, the error is raised at once."""
    on_pause: Callable[[DarkroomError, float], None] | None = None
    """Called before each pause with the failure and the seconds."""

    def announce(self, failure: DarkroomError, seconds: float) -> None:
        if self.on_pause is not None:
            self.on_pause(failure, seconds)

    def pause_seconds(self, failure: DarkroomError, attempt: int, *, is_repeatable: bool = True) -> float | None:
        """Seconds until the next attempt; None when there is none. `attempt` counts from 1."""
        if attempt >= self.attempts or not may_pass(failure, is_repeatable):
            return None
        wanted = failure.retry_after_seconds
        if wanted is not None:
            return wanted if wanted <= self.longest_retry_after_seconds else None
        longest: float = min(self.first_seconds * 2 ** (attempt - 1), self.longest_seconds)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret


def may_pass(failure: DarkroomError, is_repeatable: bool = True) -> bool:
    """Whether a repeated request may succeed, and does no harm."""
    if isinstance(failure, GatewayUnreachableError):
        return is_repeatable or not failure.was_sent
    if isinstance(failure, DownloadError):
        return failure.is_broken_off or failure.status in RETRIED_STATUSES
    if not isinstance(failure, GatewayError) or failure.status not in RETRIED_STATUSES:
        return False
    # After some 503s and a proxy's 502 and 504 it is unknown whether the request was processed.
    return is_repeatable or failure.status == 429


def may_have_acted(failure: DarkroomError) -> bool:
    """Whether the failed request may have been processed, and only its answer was lost."""
    if isinstance(failure, GatewayUnreachableError):
        return failure.was_sent
    return isinstance(failure, GatewayError) and failure.status >= 500
