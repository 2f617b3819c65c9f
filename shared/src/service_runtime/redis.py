"""The door to Redis (Valkey): short time limits, because everything in it can be had elsewhere."""

from collections.abc import Iterable
from typing import Final

import redis.asyncio
from redis.asyncio.connection import SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import MaxConnectionsError, RedisError

CONNECT_SECONDS: Final = 0.3
COMMAND_SECONDS: Final = 0.3

#: What a caller catches: Redis is away, slow, full, read-only or loading.
RedisAway: Final = (RedisError, OSError, TimeoutError)
#: One of these says nothing about Redis: all connections of our own pool are in use.
RedisBusy: Final = MaxConnectionsError


class _Connection(redis.asyncio.Connection):
    """A connection that says as an OSError that it was reset, which the driver then opens anew.

    uvloop refuses to write to what has been closed with a RuntimeError, which the driver passes on.
    """

    async def _send_packed_command(self, command: Iterable[bytes]) -> None:
        try:
            await super()._send_packed_command(command)
        except RuntimeError as error:
            raise ConnectionResetError(str(error)) from error


class _TlsConnection(_Connection, SSLConnection):
    """The same over TLS."""


def create_redis(
    url: str, *, connections: int = 8, command_seconds: float = COMMAND_SECONDS
) -> "redis.asyncio.Redis":
    """Return a client that answers bytes, and connects when it is first used."""
    client: redis.asyncio.Redis = redis.asyncio.Redis.from_url(
        url,
        max_connections=connections,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=command_seconds,
        retry=Retry(NoBackoff(), 1),
        decode_responses=False,
        protocol=3,
    )
    pool = client.connection_pool
    tls = issubclass(pool.connection_class, SSLConnection)
    pool.connection_class = _TlsConnection if tls else _Connection
    return client
