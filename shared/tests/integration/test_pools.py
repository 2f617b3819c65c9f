"""Pools: each borrowing task is cancelled at each of its steps, and no connection is lost."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from service_runtime.errors import OverloadedError
from service_runtime.postgres import (
    LookupPool,
    PoolExhaustedError,
    close_pool,
    create_pool,
    is_infrastructure,
    is_overload,
    lease,
)
from service_runtime.redis import RedisAway, RedisBusy, create_redis

STEPS = 12
SIZE = 2


async def cancelled_at_each_step(borrow: Callable[[], Awaitable[object]]) -> None:
    """Cancel the borrower in the turn of its creation, a turn later, and so on."""
    for step in range(STEPS):
        for _ in range(SIZE + 1):
            task = asyncio.ensure_future(borrow())
            for _ in range(step):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_pool_of_postgres_loses_nothing(postgres_server: str) -> None:
    pool = await create_pool(postgres_server, name="tests", size=SIZE, connect_seconds=10)

    async def borrow() -> None:
        async with lease(pool, 10) as connection:
            await connection.fetchval("SELECT 1")

    await borrow()
    await cancelled_at_each_step(borrow)

    async with lease(pool, 30), lease(pool, 30) as last:
        assert await last.fetchval("SELECT 1") == 1
    await close_pool(pool)


async def test_a_lookup_pool_loses_nothing(postgres_server: str) -> None:
    pool = LookupPool(postgres_server, name="tests", size=SIZE, connect_seconds=10)

    async def borrow() -> None:
        async with pool.connection() as connection:
            await connection.fetchval("SELECT 1")

    await borrow()
    await cancelled_at_each_step(borrow)

    async with pool.connection(), pool.connection() as last:
        assert await last.fetchval("SELECT 1") == 1
        with pytest.raises(PoolExhaustedError):
            async with pool.connection():
                pass
    pool.close()


async def test_a_pool_of_redis_loses_nothing(redis_url: str) -> None:
    redis = create_redis(redis_url, connections=SIZE, command_seconds=10)
    await redis.set("a", "b")
    await cancelled_at_each_step(lambda: redis.get("a"))

    assert [*await asyncio.gather(*(redis.get("a") for _ in range(SIZE)))] == [b"b"] * SIZE
    await redis.aclose()


async def test_a_full_pool_is_overload_and_an_unreachable_server_is_not(
    postgres_server: str,
) -> None:
    pool = await create_pool(postgres_server, name="tests", size=1, connect_seconds=10)
    async with lease(pool, 10):
        with pytest.raises(PoolExhaustedError) as full:
            async with lease(pool, 0.05):
                pass
    assert is_overload(full.value)
    assert is_infrastructure(full.value)  # so the background task retries
    await close_pool(pool)

    nowhere = await create_pool("postgresql://x:x@127.0.0.1:1/x", name="tests", size=1)
    with pytest.raises(ConnectionRefusedError) as refused:
        async with lease(nowhere):
            pass
    assert not is_overload(refused.value)


async def test_a_pool_that_lost_a_connection_is_still_full(postgres_server: str) -> None:
    """A departing client takes a connection along; the next holder of its place has no time to
    connect.
    """
    pool = await create_pool(postgres_server, name="tests", size=2, connect_seconds=10)

    async def borrow() -> None:
        async with lease(pool, 0.05):
            pass

    async with lease(pool, 10), lease(pool, 10) as cut_off:
        waiting = asyncio.create_task(borrow())
        await asyncio.sleep(0)
        cut_off.terminate()
        time.sleep(0.1)  # noqa: ASYNC251 - the event loop is late, as under load
        with pytest.raises(PoolExhaustedError, match="1 of 2"):
            await waiting
    await close_pool(pool)


async def test_a_server_that_accepts_no_more_is_not_taken_for_a_full_pool(
    postgres_server: str,
) -> None:
    pool = await create_pool(postgres_server, name="tests", size=2, connect_seconds=10)
    async with lease(pool, 10), silent_server() as port:
        pool.set_connect_args(f"postgresql://x:x@127.0.0.1:{port}/x", timeout=10)
        with pytest.raises(TimeoutError, match="1 of 2"):
            async with lease(pool, 0.1):
                pass
    pool.terminate()


@asynccontextmanager
async def silent_server() -> AsyncIterator[int]:
    """Yield the port of a server that accepts connections and sends nothing."""
    done = asyncio.Event()

    async def silent(_: Any, writer: Any) -> None:
        await done.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        done.set()
        server.close()
        await asyncio.sleep(0)


async def test_a_silent_server_is_not_taken_for_a_full_pool() -> None:
    async with silent_server() as port:
        pool = await create_pool(f"postgresql://x:x@127.0.0.1:{port}/x", name="tests", size=1)

        async def borrow() -> None:
            async with lease(pool, 0.1):
                pass

        answers = await asyncio.gather(*(borrow() for _ in range(3)), return_exceptions=True)

        assert not any(isinstance(answer, OverloadedError) for answer in answers)
        assert all(isinstance(answer, TimeoutError) for answer in answers)
        pool.terminate()


async def test_a_full_pool_of_redis_says_so(redis_url: str) -> None:
    redis = create_redis(redis_url, connections=1)
    async with redis.client() as _:
        with pytest.raises(RedisBusy):
            await redis.get("a")
    assert issubclass(RedisBusy, RedisAway)
    await redis.aclose()
