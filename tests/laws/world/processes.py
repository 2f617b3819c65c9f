"""Our processes, composed as in production, at addresses in memory."""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, cast

from pydantic import SecretStr
from tests.laws.world.cache import MemoryRedis
from tests.laws.world.calls import Process
from tests.laws.world.doors import Address
from tests.laws.world.kafka import MemoryConsumer, MemoryProducer, MemoryTopics
from tests.laws.world.store import MemoryConnection
from tests.laws.world.writer import ZONE, MemoryLists, MemoryOutbox

from portal_query.projector.main import Projector
from portal_query.projector.settings import ProjectorSettings
from portal_query.read_model.redis import DocumentCache
from repair_events.topic import TOPIC
from repair_writer.relay.relay import Relay
from service_runtime.clock import SystemClock
from service_runtime.ops import Health

if TYPE_CHECKING:
    from tests.laws.world.world import World


def relay(world: "World", process: Process) -> Coroutine[Any, Any, None]:
    """Return the main task of a relay."""

    def outbox() -> MemoryOutbox:
        return MemoryOutbox(world.calls, process, world.writer, world.seconds)

    async def connect() -> MemoryOutbox:
        return outbox()

    async def open_producer() -> MemoryProducer:
        return MemoryProducer(world.calls, process, world.topic)

    clock = SystemClock()
    made = Relay(
        database_url=Address.of(lambda _: connect()),
        pool=cast("Any", outbox()),
        open_producer=open_producer,
        topic=TOPIC,
        health=Health(clock),
        clock=clock,
    )
    return made.run(asyncio.Event())


def projector(world: "World", process: Process) -> Coroutine[Any, Any, None]:
    """Return the main task of a projector."""

    async def connect() -> MemoryConnection:
        if not process.alive:
            raise asyncio.CancelledError
        made = MemoryConnection(world.calls, process, world.tables, world.seconds)
        world.connections.append(made)
        return made

    def kafka(what: str) -> MemoryConsumer | MemoryTopics:
        if what == "Topics":
            return MemoryTopics(world.calls, process, world.topic)
        made = MemoryConsumer(world.calls, process, world.topic, world.group, world.seconds)
        world.consumers[process.name] = made
        return made

    settings = ProjectorSettings.model_construct(
        portal_database_url=SecretStr(Address.of(lambda _: connect())),
        kafka_bootstrap_servers=Address.of(kafka),
        portal_time_zone=ZONE,
        redis_url=SecretStr("-"),
        writer_url="http://memory",
        writer_history_key=SecretStr("-"),
        projector_refolds=2,
        # More often than in production, so that a run need not last for minutes.
        projector_heads_seconds=3.0,
        projector_sweep_page_seconds=2.0,
        projector_selfcheck_seconds=5.0,
    )
    cache = DocumentCache(cast("Any", MemoryRedis(world.calls, process, world.redis)))
    made = Projector(settings, MemoryLists(world.calls, process, world.writer), cache)
    return made.run(asyncio.Event())
