"""Outages of the projector's dependencies: nothing is lost, and the lag grows meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from repair_events import topic
from service_runtime.testing import eventually


class Gate:
    """A path to a server that can be closed: connections are cut, new ones refused or held."""

    def __init__(self, url: str) -> None:
        self._at = urlsplit(url)
        self._open = asyncio.Event()
        self._open.set()
        self._hangs = False
        self._pipes: set[asyncio.Task[None]] = set()
        self._port = 0

    @property
    def url(self) -> str:
        host = f"{self._at.hostname}:{self._at.port}"
        return self._at.geturl().replace(host, f"127.0.0.1:{self._port}")

    def close(self, *, hangs: bool = False) -> None:
        self._open.clear()
        self._hangs = hangs
        for pipe in self._pipes:
            pipe.cancel()

    def open(self) -> None:
        self._open.set()

    @asynccontextmanager
    async def standing(self) -> AsyncIterator["Gate"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self.close()
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pipes.add(task)
        try:
            if not self._open.is_set() and not self._hangs:
                return
            await self._open.wait()
            inside, outside = await asyncio.open_connection(self._at.hostname, self._at.port)
            try:
                await asyncio.gather(_pipe(reader, outside), _pipe(inside, writer))
            finally:
                outside.close()
        except (asyncio.CancelledError, OSError):
            pass
        finally:
            self._pipes.discard(task)
            writer.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def _as_of(world: Any) -> Any:
    return await world.database.fetchval("SELECT min(as_of) FROM portal.partition_progress")


async def _refolds(world: Any) -> dict[int, int]:
    rows = await world.database.fetch("SELECT customer_id, refold FROM portal.customer")
    return {row["customer_id"]: row["refold"] for row in rows}


async def test_redis_goes_away_and_gets_everything_afterwards(world: Any) -> None:
    fleet = world.customer(7)
    async with (
        Gate(world.settings.redis_url.get_secret_value()).standing() as gate,
        world.projector(redis_url=SecretStr(gate.url)),
    ):
        await world.send(fleet.record())
        await world.arrives(fleet)
        gate.close()
        await world.send(fleet.record())

        async def applied() -> bool:
            return bool(await world.revision(7) == 2)

        await eventually(applied, "Postgres goes on without Redis")
        assert await world.redis.hget("portal:7", "revision") == b"1"
        gate.open()
        await world.arrives(fleet)
        await world.redis.flushdb()
        await world.send(fleet.record())
        await world.arrives(fleet)


async def test_postgres_goes_away_and_nothing_is_lost(world: Any) -> None:
    fleets = [world.customer(n) for n in range(1, 9)]
    for fleet in fleets:
        await world.send(fleet.record())
    async with (
        Gate(world.settings.portal_database_url.get_secret_value()).standing() as gate,
        world.projector(portal_database_url=SecretStr(gate.url)),
    ):
        await world.arrives(*fleets)
        before = await _refolds(world)
        for turn in range(3):
            await world.send(*[fleet.record(f"A{turn}") for fleet in fleets])
            gate.close(hangs=turn == 1)
            await world.send(*[fleet.record(f"B{turn}") for fleet in fleets])
            gate.open()
            await world.arrives(*fleets)
        assert await _refolds(world) == before, "each batch is tried again, not made good by heads"


async def test_kafka_and_writer_may_be_away_at_the_start(world: Any) -> None:
    fleet = world.customer(7)
    world.writer.away = True
    servers = world.settings.kafka_bootstrap_servers
    async with world.projector(kafka_bootstrap_servers="127.0.0.1:1") as projector:
        assert not projector.intake.joined
    async with world.projector(kafka_bootstrap_servers=servers) as projector:
        await world.send(fleet.record())

        async def applied() -> bool:
            return bool(await world.revision(7) == 1)

        await eventually(applied, "events flow without the writer")
        assert await _as_of(world) is None
        assert projector.health is not None
        assert "heads" in await projector.health.faults()
        world.writer.away = False
        await world.arrives(fleet)

        async def ready() -> bool:
            return not await projector.health.faults()

        await eventually(ready, "the heads have been compared")


async def test_time_stands_still_while_the_writer_does_not_say_how_far_it_has_sent(
    world: Any,
) -> None:
    fleet = world.customer(7)
    async with world.projector():
        await world.send(fleet.record())
        await world.arrives(fleet)

        async def known() -> bool:
            times = await world.redis.hgetall("portal:as_of")
            return len(times) == 12 and await _as_of(world) is not None

        await eventually(known, "each partition has a time")
        world.writer.sent_until = await _as_of(world)
        await world.send(fleet.record())
        await world.arrives(fleet)
        before = await _as_of(world)
        await asyncio.sleep(2.5)  # the only way to observe the absence of an effect
        assert await _as_of(world) == before == world.writer.sent_until
        world.writer.sent_until = None

        async def moves() -> bool:
            return bool(await _as_of(world) > before)

        await eventually(moves, "time goes on")


async def test_a_new_customer_whose_first_record_is_broken_stands_still(world: Any) -> None:
    fleet = world.customer(7)
    fleet.record()
    world.writer.away = True
    async with world.projector():
        await world.send_bytes(b"{", b"7", topic.partition(7))

        async def is_set_aside() -> bool:
            return len(await world.letters()) == 1

        await eventually(is_set_aside, "the broken record is a dead letter")
        assert (await world.row(7))["as_of"] is not None
        world.writer.away = False
        await world.arrives(fleet)


async def test_a_refold_waits_for_the_writer_and_stands_still_meanwhile(world: Any) -> None:
    fleet = world.customer(7)
    async with world.projector():
        await world.send(fleet.record())
        await world.arrives(fleet)
        world.writer.away = True
        fleet.record("LOST")
        await world.send(fleet.record("A3"))

        async def stands_still() -> bool:
            row = await world.row(7)
            return bool(row["as_of"] is not None and row["as_of"] == row["accepted_at"])

        await eventually(stands_still, "the customer stands still at its last event")

        async def said() -> bool:
            return bool(await world.redis.hget("portal:7", "frozen"))

        await eventually(said, "readers are told")
        world.writer.away = False
        await world.arrives(fleet)
        assert await world.redis.hget("portal:7", "frozen") == b""
