"""Publishes signed outcomes on a Redis stream, from which the operator reads them. Used by `warm_runs`."""

import logging
from functools import cached_property
from typing import TYPE_CHECKING

from darkroom_contract.handover import (
    STREAM_FIELD,
    STREAM_MAX_LENGTH,
    STREAM_TTL_SECONDS,
    SignedOutcome,
    outcome_stream,
)
from darkroom_contract.redis_url import REDIS_URL_FORM, check_redis_url

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger(__name__)

REDIS_TIMEOUT_SECONDS = 1.0


class OutcomeStream:
    """One connection for all runs of the process. A failing Redis is logged and raises nothing."""

    def __init__(self, url: str) -> None:
        self._url = url

    def publish(self, signed: SignedOutcome) -> None:
        """Add an entry to the stream of its job. The operator reads an outcome that was published twice once."""
        from redis import RedisError

        stream = outcome_stream(signed.job_uid)
        try:
            with self._client.pipeline(transaction=False) as pipe:
                pipe.xadd(stream, {STREAM_FIELD: signed.to_json()}, maxlen=STREAM_MAX_LENGTH, approximate=False)
                pipe.expire(stream, STREAM_TTL_SECONDS)
                pipe.execute()
        except RedisError as error:
            log.warning("can't publish the outcome: %s", error)
        except (ValueError, TypeError):
            # Without redis-py's message, which repeats a part of a password that is not percent-encoded.
            log.warning("can't publish the outcome: the Redis URL is invalid. %s", REDIS_URL_FORM)

    @cached_property
    def _client(self) -> "Redis":
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        check_redis_url(self._url)
        return Redis.from_url(
            self._url,
            socket_timeout=REDIS_TIMEOUT_SECONDS,
            socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
