"""The process itself: its start, its health, its death at any moment, its orderly end."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiokafka.admin import AIOKafkaAdminClient

from portal_query.projector.testing import KEY
from repair_events.topic import PARTITIONS
from service_runtime.kafka import Topics, TopicSettings
from service_runtime.testing import eventually


@asynccontextmanager
async def process(world: Any, **more: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run a projector as a process, with the address of its operators' port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = world.settings
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "portal_query.projector.main",
        env={
            **os.environ,
            "OPS_PORT": str(port),
            "PORTAL_DATABASE_URL": settings.portal_database_url.get_secret_value(),
            "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
            "KAFKA_TOPIC": settings.kafka_topic,
            "PROJECTOR_GROUP": settings.projector_group,
            "REDIS_URL": settings.redis_url.get_secret_value(),
            "WRITER_URL": settings.writer_url,
            "WRITER_HISTORY_KEY": KEY,
            "PORTAL_TIME_ZONE": settings.portal_time_zone,
            **more,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield running, f"http://127.0.0.1:{port}"
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()


async def _status(url: str) -> int:
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status
    except aiohttp.ClientError:
        return 0


async def test_it_becomes_ready_measures_and_leaves_in_order(world: Any) -> None:
    fleet = world.customer(7)
    async with process(world) as (running, ops):
        await world.send(fleet.record())
        await world.arrives(fleet)

        async def ready() -> bool:
            return await _status(f"{ops}/readyz") == 200

        await eventually(ready, "ready")
        assert await _status(f"{ops}/livez") == 200
        async with aiohttp.ClientSession() as session:
            metrics = await (await session.get(f"{ops}/metrics")).text()
        assert 'repair_events_applied_total{result="applied"} 1.0' in metrics
        assert "repair_consumer_assigned_partitions 12.0" in metrics
        running.send_signal(signal.SIGTERM)
        output, _ = await asyncio.wait_for(running.communicate(), 30)
    assert running.returncode == 0
    assert b"Traceback" not in output


async def test_killed_in_any_moment_it_loses_nothing(world: Any) -> None:
    fleets = [world.customer(n) for n in range(1, 13)]
    for turn in range(2):
        async with process(world) as (running, _):
            await world.send(*[fleet.record(f"A{n}") for n in range(30) for fleet in fleets])

            async def begun(turn: int = turn) -> bool:
                return (await world.revision(12) or 0) > turn * 30

            await eventually(begun, "it has begun")
            running.kill()
            await running.wait()
    async with process(world):
        await world.arrives(*fleets)


async def test_bad_settings_are_all_named_at_once(world: Any) -> None:
    async with process(world, OPS_PORT="x", PORTAL_TIME_ZONE="Mars/Base", WRITER_URL="") as (
        running,
        _,
    ):
        output, _ = await running.communicate()
    assert running.returncode == 78
    assert all(name in output for name in (b"OPS_PORT", b"PORTAL_TIME_ZONE", b"WRITER_URL"))


async def test_a_topic_that_was_made_anew_is_read_from_its_beginning(world: Any) -> None:
    settings = world.settings
    fleet = world.customer(7)
    async with world.projector():
        await world.send(*[fleet.record() for _ in range(20)])
        await world.arrives(fleet)
        driver = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
        await driver.start()
        await driver.delete_topics([settings.kafka_topic])
        await driver.close()
        async with Topics(settings.kafka_bootstrap_servers, client_id="tests") as topics:

            async def gone() -> bool:
                return await topics.facts(settings.kafka_topic) is None

            await eventually(gone, "the topic is gone")
            await topics.ensure(TopicSettings(settings.kafka_topic, PARTITIONS, 1))
        fleet.record("SENT TO NOBODY")
        await world.send(fleet.record("A3"))
        await world.arrives(fleet)
        other = world.customer(8)
        await world.send(other.record())
        await world.arrives(other)
