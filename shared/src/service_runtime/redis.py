"""Redis (Valkey) client: short time limits, because callers have a fallback for all its data."""

from collections.abc import Iterable
from typing import Final

import redis.asyncio
from redis.asyncio.connection import SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import MaxConnectionsError, RedisError

CONNECT_SECONDS: Final = 0.3
COMMAND_SECONDS: Final = 0.3

#: Errors to catch: Redis is unavailable, slow, full, read-only or loading.
RedisAway: Final = (RedisError, OSError, TimeoutError)
#: The one of them that is local: all connections of the pool are in use.
RedisBusy: Final = MaxConnectionsError


class _Connection(redis.asyncio.Connection):
    """Connection that raises OSError after a reset, so that the driver reconnects.

    On a write to a closed connection uvloop raises RuntimeError, which the driver does not handle.
    """

    async def _send_packed_command(self, command: Iterable[bytes]) -> None:
        try:
            await super()._send_packed_command(command)
        except RuntimeError as error:
            raise ConnectionResetError(str(error)) from error


class _TlsConnection(_Connection, SSLConnection):
    """The same connection over TLS."""


def create_redis(
    url: str, *, connections: int = 8, command_seconds: float = COMMAND_SECONDS
) -> "redis.asyncio.Redis":
    """Return a client that returns bytes, and connects at its first use."""
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
