"""A projector in this process, on real servers, with a writer that serves the test's streams."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from portal_query.counting import Dimension
from portal_query.projector.lists import WriterLists
from portal_query.projector.main import Projector
from portal_query.projector.settings import ProjectorSettings
from portal_query.projector.testing import KEY, CustomerList, ListServer
from portal_query.read_model.redis import DocumentCache
from repair_events import topic as topics
from repair_events.event import Event, encode
from service_runtime.kafka import BatchProducer, Record, Topics, TopicSettings
from service_runtime.redis import create_redis
from service_runtime.testing import eventually

ZONE = "America/Chicago"


@dataclass
class World:
    """Environment of a projector, with views of its results."""

    settings: ProjectorSettings
    writer: ListServer
    producer: BatchProducer
    database: "asyncpg.Connection[Any]"
    redis: Redis
    running: list[asyncio.Task[None]] = field(default_factory=list)

    def customer(self, customer_id: int) -> CustomerList:
        return self.writer.customer(customer_id)

    async def send(self, *events: Event) -> None:
        """Produce events to the topic, each in its customer's partition, in this order."""
        for event in events:
            customer = event.data.customer_id
            await self.send_bytes(encode(event), topics.key(customer), topics.partition(customer))

    async def send_bytes(self, value: bytes, key: bytes, partition: int) -> None:
        sent = await self.producer.send(self.settings.kafka_topic, partition, [Record(key, value)])
        assert sent.error is None

    @asynccontextmanager
    async def projector(self, **changed: object) -> AsyncIterator[Projector]:
        """Run a projector for the length of the block, and stop it in order."""
        settings = self.settings.model_copy(update=changed)
        stop = asyncio.Event()
        async with AsyncExitStack() as stack:
            lists = await stack.enter_async_context(WriterLists(settings.writer_url, KEY))
            redis = create_redis(settings.redis_url.get_secret_value())
            stack.push_async_callback(redis.aclose)
            projector = Projector(settings, lists, DocumentCache(redis))
            task = asyncio.create_task(projector.run(stop))
            try:
                yield projector
            finally:
                stop.set()
                await task

    async def revision(self, customer_id: int) -> int | None:
        found: int | None = await self.database.fetchval(
            "SELECT revision FROM portal.customer WHERE customer_id = $1", customer_id
        )
        return found

    async def row(self, customer_id: int) -> asyncpg.Record:
        found: asyncpg.Record | None = await self.database.fetchrow(
            "SELECT * FROM portal.customer WHERE customer_id = $1", customer_id
        )
        assert found is not None
        return found

    async def counts(self, customer_id: int) -> dict[tuple[Dimension, str], int]:
        rows = await self.database.fetch(
            "SELECT dimension, bucket, n FROM portal.repair_count "
            "WHERE customer_id = $1 AND n <> 0",
            customer_id,
        )
        return {(Dimension(row[0]), row[1]): row[2] for row in rows}

    async def arrives(self, *customers: CustomerList) -> None:
        """Wait until these customers equal their streams, in Postgres and in Redis."""
        for one in customers:
            await eventually(partial(self._is_whole, one), f"customer {one.customer_id} is whole")
            assert await self.counts(one.customer_id) == one.counts(ZONE)
            await self._assert_rows(one)

    async def _is_whole(self, one: CustomerList) -> bool:
        row = await self.database.fetchrow(
            "SELECT revision, event_id::text, as_of, parked_at, refold FROM portal.customer "
            "WHERE customer_id = $1",
            one.customer_id,
        )
        if row is None or tuple(row)[:4] != (len(one.events), one.events[-1].id, None, None):
            return False
        document = await self.redis.hmget(f"portal:{one.customer_id}", "refold", "revision")
        return document == [b"%d" % row["refold"], b"%d" % row["revision"]]

    async def _assert_rows(self, one: CustomerList) -> None:
        rows = await self.database.fetch(
            "SELECT repair_id::text, unit_number, status, removed FROM portal.repair "
            "WHERE customer_id = $1",
            one.customer_id,
        )
        assert {tuple(row) for row in rows} == {
            (r.repair_id, r.unit_number, r.status, r.removed) for r in one.repairs.values()
        }
        history = await self.database.fetch(
            "SELECT revision, event_id::text FROM portal.repair_history WHERE customer_id = $1 "
            "ORDER BY revision",
            one.customer_id,
        )
        assert [tuple(row) for row in history] == [
            (e.data.revision, e.id) for e in one.events if e.data.repair is not None
        ]

    async def letters(self) -> list[asyncpg.Record]:
        return await self.database.fetch("SELECT * FROM portal.dead_letter ORDER BY id")


@pytest.fixture
async def world(
    database: Any, redis_url: str, kafka_bootstrap: str, topic: str
) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(Topics(kafka_bootstrap, client_id="tests"))
        await admin.ensure(TopicSettings(topic, topics.PARTITIONS, retention_days=1))
        writer = await stack.enter_async_context(ListServer())
        producer = await stack.enter_async_context(
            BatchProducer(kafka_bootstrap, client_id="tests")
        )
        connection = await asyncpg.connect(database.owner_url)
        stack.push_async_callback(connection.close)
        redis = Redis.from_url(redis_url)
        stack.push_async_callback(redis.aclose)
        settings = ProjectorSettings(
            ops_port=0,
            portal_database_url=SecretStr(database.portal_url),
            kafka_bootstrap_servers=kafka_bootstrap,
            kafka_topic=topic,
            projector_group=f"group-of-{topic}",
            redis_url=SecretStr(redis_url),
            writer_url=writer.url,
            writer_history_key=SecretStr(KEY),
            portal_time_zone=ZONE,
            projector_heads_seconds=1.0,
            projector_sweep_page_seconds=1.0,
        )
        yield World(settings, writer, producer, connection, redis)
