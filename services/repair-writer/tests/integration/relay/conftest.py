"""A database, a topic, an outbox to fill, and relays to run: in this process or as their own."""

import asyncio
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest

from repair_events.topic import PARTITIONS
from repair_writer.relay.main import serve
from repair_writer.relay.settings import RelaySettings
from service_runtime.kafka import (
    ConsumerRecord,
    TopicPartition,
    Topics,
    TopicSettings,
    create_consumer,
)

DEADLINE_SECONDS = 60.0

Accepted = tuple[int, str]  # row id, event id


class Outbox:
    """The outbox of one database, from the writer's side."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self.pool = pool

    async def accept(
        self, customer_id: int, payload: bytes | None = None, connection: Any = None
    ) -> Accepted:
        """Insert one event as the writer does, within the caller's transaction if there is one."""
        event_id = str(uuid.uuid4())
        row_id = await (connection or self.pool).fetchval(
            "INSERT INTO writer.outbox (customer_id, event_id, payload, accepted_at)"
            " VALUES ($1, $2, $3, clock_timestamp()) RETURNING id",
            customer_id,
            event_id,
            event_id.encode() if payload is None else payload,
        )
        return row_id, event_id

    async def accept_many(self, customers: Sequence[int]) -> list[Accepted]:
        """Insert one event for each of these customers, in one transaction."""
        async with self.pool.acquire() as connection, connection.transaction():
            return [await self.accept(customer, connection=connection) for customer in customers]

    async def pending(self) -> int:
        """Return the number of pending rows."""
        count: int = await self.pool.fetchval("SELECT count(*) FROM writer.outbox")
        return count

    async def is_empty(self) -> bool:
        """Return whether the outbox is empty."""
        return await self.pending() == 0

    async def refused(self) -> list[asyncpg.Record]:
        """Return the dead letters."""
        return await self.pool.fetch("SELECT * FROM writer.outbox_refused ORDER BY id")


@pytest.fixture
async def outbox(database: Any) -> AsyncIterator[Outbox]:
    """Return the outbox of a fresh database."""
    async with asyncpg.create_pool(database.writer_url, min_size=1, max_size=12) as pool:
        yield Outbox(pool)


@pytest.fixture
async def new_topic(kafka_bootstrap: str, topic: str) -> AsyncIterator[str]:
    """Return the name of a fresh topic with the correct settings."""
    async with Topics(kafka_bootstrap, client_id="test") as topics:
        await topics.ensure(TopicSettings(topic, PARTITIONS, 1))
        yield topic
        await topics.delete(topic)


@dataclass
class Reader:
    """Reads a whole topic from its beginning."""

    bootstrap_servers: str

    async def records(self, topic: str) -> list[ConsumerRecord]:
        """Return all present records of the topic, each partition in its order."""
        async with Topics(self.bootstrap_servers, client_id="test") as topics:
            offsets = await topics.offsets(topic)
        wanted = sum(end - first for first, end in offsets.values())
        if wanted == 0:
            return []  # a consumer that is stopped before its first poll raises CancelledError
        consumer = create_consumer(self.bootstrap_servers, client_id="test")
        await consumer.start()
        found: list[ConsumerRecord] = []
        try:
            consumer.assign([TopicPartition(topic, number) for number in offsets])
            deadline = time.monotonic() + DEADLINE_SECONDS
            while len(found) < wanted:
                assert time.monotonic() < deadline, f"{len(found)} of {wanted} records"
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    found.extend(batch)
        finally:
            await consumer.stop()
        return found

    async def count(self, topic: str) -> int:
        """Return the number of records on the topic."""
        async with Topics(self.bootstrap_servers, client_id="test") as topics:
            return sum(end - first for first, end in (await topics.offsets(topic)).values())


@pytest.fixture
def reader(kafka_bootstrap: str) -> Reader:
    """Return a reader of topics."""
    return Reader(kafka_bootstrap)


@pytest.fixture
def settings(database: Any, kafka_bootstrap: str, topic: str) -> RelaySettings:
    """Return a relay's settings for this test's database and topic."""
    return RelaySettings(
        writer_database_url=database.writer_url,
        kafka_bootstrap_servers=kafka_bootstrap,
        kafka_topic=topic,
        ops_port=0,
    )


@asynccontextmanager
async def relaying(settings: RelaySettings) -> AsyncIterator[asyncio.Event]:
    """Run a relay in this process, as its main does; yield its stop event."""
    stop = asyncio.Event()
    task = asyncio.create_task(serve(settings, stop))
    try:
        yield stop
        stop.set()
        await asyncio.wait_for(task, 30)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def run_relay() -> Callable[[RelaySettings], Any]:
    """Return a function that runs a relay in this process during a block."""
    return relaying


@dataclass
class Process:
    """A relay in a process of its own."""

    port: int
    running: asyncio.subprocess.Process
    log: list[str] = field(default_factory=list)

    def kill(self) -> None:
        """End it as the kernel would."""
        self.running.kill()

    async def stop(self) -> int:
        """Stop it in order; return its status."""
        self.running.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.running.wait(), 30)

    async def get(self, path: str) -> tuple[int, str]:
        """Return status and body of its operators' port; (0, "") while it does not respond."""
        return await asyncio.to_thread(_get, f"http://127.0.0.1:{self.port}{path}")

    async def metric(self, name: str) -> float:
        """Return the value of a metric; nan while it is missing."""
        _, body = await self.get("/metrics")
        lines = (line.rsplit(" ", 1) for line in body.splitlines() if not line.startswith("#"))
        return next((float(value) for key, value in lines if key == name), float("nan"))


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


@pytest.fixture
async def start_process(
    settings: RelaySettings, free_port: Callable[[], int]
) -> AsyncIterator[Callable[[], Awaitable[Process]]]:
    """Return a function that starts relays as processes; the running ones are stopped afterwards."""
    started: list[Process] = []

    async def start() -> Process:
        port = free_port()
        running = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "repair_writer.relay.main",
            env={
                **os.environ,
                "WRITER_DATABASE_URL": settings.writer_database_url,
                "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
                "KAFKA_TOPIC": settings.kafka_topic,
                "OPS_PORT": str(port),
            },
            stdout=asyncio.subprocess.DEVNULL,
        )
        process = Process(port, running)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.running.returncode is None:
            process.kill()
            await process.running.wait()


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Return a function that finds free ports."""

    def find() -> int:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port: int = listener.getsockname()[1]
            return port

    return find
