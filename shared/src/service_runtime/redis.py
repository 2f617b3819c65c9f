"""The door to Redis (Valkey): short time limits, because everything in it can be had elsewhere."""

from typing import Final

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

CONNECT_SECONDS: Final = 0.3
COMMAND_SECONDS: Final = 0.3

#: What a caller catches: Redis is away, slow, full, read-only or loading.
RedisAway: Final = (RedisError, OSError, TimeoutError)


def create_redis(
    url: str, *, connections: int = 8, command_seconds: float = COMMAND_SECONDS
) -> "redis.asyncio.Redis":
    """Return a client that answers bytes, and connects when it is first used."""
    return redis.asyncio.Redis.from_url(
        url,
        max_connections=connections,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=command_seconds,
        retry=Retry(NoBackoff(), 1),
        decode_responses=False,
        protocol=3,
    )
