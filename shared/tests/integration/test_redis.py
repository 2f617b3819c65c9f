import asyncio

import uvloop

from service_runtime.redis import RedisAway, create_redis


async def ask_over_a_connection_that_has_just_been_reset(url: str) -> None:
    redis = create_redis(url, connections=1)
    try:
        await redis.set("asked", "yes")
        for connection in redis.connection_pool._available_connections:
            assert connection._writer is not None
            connection._writer.transport.abort()
        await asyncio.sleep(0)
        try:
            assert await redis.get("asked") == b"yes"
        except RedisAway:
            assert await redis.get("asked") == b"yes"
    finally:
        await redis.aclose()


def test_a_connection_that_was_reset_is_opened_anew(redis_url: str) -> None:
    # On the loop of the services: it rejects a write to a closed connection with its own error.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(ask_over_a_connection_that_has_just_been_reset(redis_url))
