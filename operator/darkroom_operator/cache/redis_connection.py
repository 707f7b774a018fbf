"""Opens the connection to Redis of the readers of progress and outcomes. They retry by themselves."""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from darkroom_contract import environment
from darkroom_contract.redis_url import REDIS_URL_FORM, check_redis_url
from darkroom_operator.errors import SettingsError

TIMEOUT_SECONDS = 3.0


def open_redis(url: str) -> Redis:
    """Connects at the first command. Raises `SettingsError` for an invalid address."""
    try:
        check_redis_url(url)
        redis = Redis.from_url(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
            encoding_errors="replace",
        )
        # Opens no connection, but raises errors in the URL's query that redis-py would raise at the first command.
        pool = redis.connection_pool
        pool.connection_class(**pool.connection_kwargs).encoder.encode("")  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, LookupError, RedisError):
        # Without redis-py's message, which repeats a part of a password that is not percent-encoded.
        raise SettingsError(f"{environment.REDIS_URL} is invalid. {REDIS_URL_FORM}") from None
    return redis
