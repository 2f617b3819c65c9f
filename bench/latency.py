"""Time from the writer's response to the gateway's, under 500 commands a second.

The floor is the same path without our code: commit, Kafka, commit, Redis.
It runs in one process, one message at a time.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from redis.asyncio import Redis
from tests.oracle.sessions import open_sessions

from bench.commands import REPAIR, make_customers
from bench.figures import Figure, percentile

if TYPE_CHECKING:
    from bench.running import System

FIRST_CUSTOMER = 910_000
CUSTOMERS = 200
WATCHED = 20
PER_SECOND = 500
SAMPLES_PER_SECOND = 20
POLL_SECONDS = 0.002
PATH = "/customer/api/unit-repair-data/"


async def run(system: System, *, seconds: float) -> list[Figure]:
    """Measure the path of single commands under load."""
    sessions = await make_watched(system)
    floor = await _floor(system)
    probe = Probe(system, sessions)
    async with probe:
        await probe.flow(2)
        probe.forget()
        await probe.flow(seconds)
    return _figures(probe, floor, seconds)


async def make_watched(system: System) -> dict[int, str]:
    """Create the customers of a Probe; return a session for each watched one."""
    await make_customers(system, FIRST_CUSTOMER, CUSTOMERS)
    watched = list(range(FIRST_CUSTOMER, FIRST_CUSTOMER + WATCHED))
    opened = await open_sessions(system.databases["gateway"], watched)
    return dict(zip(watched, opened, strict=True))


def _figures(probe: Probe, floor: list[float], seconds: float) -> list[Figure]:
    seen, rate = probe.seen, probe.answered / seconds
    note = f"{rate:.0f} commands/s, {len(seen)} samples, max {max(seen):.0f} ms, answer p50 {percentile(probe.answers, 0.5):.1f} ms"
    if probe.failed:
        note += f", {probe.failed} FAILED"
    return [
        Figure(
            name=f"live: answer to visible, {name}", value=percentile(seen, share), unit="ms", target=target, at_most=True,
            floor=percentile(floor, share), floor_is="commit, Kafka, commit, Redis, idle", note=note if share < 0.9 else "",
        )
        for name, share, target in (("p50", 0.5, 40.0), ("p99", 0.99, 150.0))
    ]  # fmt: skip


class Probe:
    """Sends commands at an even rate, whatever the responses, and watches some become visible."""

    def __init__(
        self, system: System, sessions: dict[int, str], *, per_second: int = PER_SECOND
    ) -> None:
        self.seen: list[float] = []
        self.answers: list[float] = []
        self.answered = 0
        self.failed = 0
        self._system = system
        self._sessions = sessions
        self._per_second = per_second
        self._numbers = itertools.count()
        self._run = time.time_ns()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._writer = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {self._system.key}"},
            connector=aiohttp.TCPConnector(limit=32),
        )
        self._portal = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=64), cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._writer.close()
        await self._portal.close()

    def forget(self) -> None:
        """Discard the warm-up."""
        self.seen, self.answers, self.answered, self.failed = [], [], 0, 0

    async def flow(self, seconds: float) -> None:
        """Send for so long, then wait for the pending commands."""
        begun = time.perf_counter()
        for turn in range(int(seconds * self._per_second)):
            await asyncio.sleep(max(0.0, begun + turn / self._per_second - time.perf_counter()))
            watch = turn % (self._per_second // SAMPLES_PER_SECOND) == 0
            task = asyncio.create_task(self._command(watch=watch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await asyncio.gather(*self._tasks)

    async def _command(self, *, watch: bool) -> None:
        number = next(self._numbers)
        customer = FIRST_CUSTOMER + number % (WATCHED if watch else CUSTOMERS)
        repair: dict[str, Any] = REPAIR | {
            "customer_id": customer,
            "source_ref": f"{self._run}-{number}",
        }
        sent = time.perf_counter()
        async with self._writer.post(f"{self._system.writer}/v1/repairs", json=repair) as answer:
            await answer.read()
            if answer.status >= 300:
                self.failed += 1
                return
            revision = int(answer.headers["Portal-Revision"])
        answered = time.perf_counter()
        self.answered += 1
        self.answers.append((answered - sent) * 1000)
        if watch:
            await self._visible(customer, revision, answered)

    async def _visible(self, customer: int, revision: int, answered: float) -> None:
        headers = {"Cookie": f"sessionid={self._sessions[customer]}"}
        while time.perf_counter() < answered + 30:
            async with self._portal.get(
                self._system.portal + PATH, headers=headers, allow_redirects=False
            ) as answer:
                await answer.read()
                if answer.status == 200 and int(answer.headers["Portal-Revision"]) >= revision:
                    self.seen.append((time.perf_counter() - answered) * 1000)
                    return
            await asyncio.sleep(POLL_SECONDS)
        self.failed += 1


async def _floor(system: System, rounds: int = 200) -> list[float]:
    """Return how long the bare hops take, in milliseconds, one message at a time."""
    topic, partition = f"bench-floor-{time.time_ns()}", 0
    writer = await asyncpg.connect(system.databases["writer"])
    redis = Redis.from_url(system.redis)
    producer = AIOKafkaProducer(bootstrap_servers=system.kafka, acks="all", enable_idempotence=True)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=system.kafka, fetch_max_wait_ms=20, enable_auto_commit=False
    )
    admin = AIOKafkaAdminClient(bootstrap_servers=system.kafka)
    await admin.start()
    await producer.start()
    await consumer.start()
    times = []
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
        await writer.execute("CREATE TABLE IF NOT EXISTS writer.bench_floor (n bigint)")
        consumer.assign([TopicPartition(topic, partition)])
        consumer.seek(TopicPartition(topic, partition), 0)
        for number in range(rounds):
            begun = time.perf_counter()
            await producer.send_and_wait(topic, b"x" * 900, partition=partition)
            await consumer.getone()
            await writer.execute("INSERT INTO writer.bench_floor VALUES ($1)", number)
            await redis.set("bench:floor", number)
            await redis.get("bench:floor")
            times.append((time.perf_counter() - begun) * 1000)
        await writer.execute("DROP TABLE writer.bench_floor")
    finally:
        await redis.aclose()
        await admin.delete_topics([topic])
        await admin.close()
        await consumer.stop()
        await producer.stop()
        await writer.close()
    return times
