"""Contents of each hop of the pipe for a few customers, read directly: tables, topic, Redis, HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.asyncio import Redis
from tests.oracle.fold import Counts, canonical

PARTITIONS = 12
DIMENSIONS = ("units", "months", "statuses")


@dataclass
class Tables:
    """One customer in the writer's or the portal's tables: its revision and its repairs by id."""

    revision: int
    event_id: str | None
    repairs: dict[str, dict[str, Any]] = field(default_factory=dict)
    changed: dict[str, tuple[int, str]] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    history: list[tuple[int, str]] = field(default_factory=list)
    parked: str | None = None


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Open a plain connection for a few statements."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def writer_tables(url: str, ids: Collection[int]) -> dict[int, Tables]:
    """Read the writer's customers and repairs in one snapshot."""
    async with connected(url) as connection, connection.transaction(isolation="repeatable_read"):
        heads = await connection.fetch(
            "SELECT customer_id, revision, event_id FROM writer.customer WHERE customer_id = ANY($1)",
            list(ids),
        )
        rows = await connection.fetch(
            "SELECT * FROM writer.repair WHERE customer_id = ANY($1)", list(ids)
        )
    tables = {
        head["customer_id"]: Tables(head["revision"], str(head["event_id"])) for head in heads
    }
    for row in rows:
        table, repair_id = tables[row["customer_id"]], str(row["repair_id"])
        table.repairs[repair_id] = canonical(dict(row))
        table.changed[repair_id] = (row["revision"], str(row["event_id"]))
    return tables


async def event_list(url: str, ids: Collection[int]) -> dict[int, list[bytes]]:
    """Read the stored payloads of each customer's stream, in order."""
    async with connected(url) as connection:
        rows = await connection.fetch(
            "SELECT customer_id, payload FROM writer.event WHERE customer_id = ANY($1) ORDER BY customer_id, revision",
            list(ids),
        )
    lists: dict[int, list[bytes]] = {customer_id: [] for customer_id in ids}
    for row in rows:
        lists[row["customer_id"]].append(row["payload"])
    return lists


async def event_list_over_http(writer: str, key: str, customer_id: int) -> list[bytes]:
    """Read a customer's stream as the projector reads it."""
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.get(f"{writer}/v1/customers/{customer_id}/events", params={"after": "0"}) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return (await answer.read()).splitlines()


async def records_of(bootstrap: str, topic: str) -> list[tuple[bytes | None, bytes | None]]:
    """Read every record (key, value) that the topic still holds."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, fetch_max_wait_ms=20
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        # Not seek_to_beginning(): a position requested meanwhile may set it back to the end.
        for partition, first in (await consumer.beginning_offsets(partitions)).items():
            consumer.seek(partition, first)
        records: list[tuple[bytes | None, bytes | None]] = []
        for partition in partitions:
            while await consumer.position(partition) < ends[partition]:
                batches = await consumer.getmany(partition, timeout_ms=500)
                records += [(r.key, r.value) for batch in batches.values() for r in batch]
        return records
    finally:
        await consumer.stop()


async def topic_lists(
    bootstrap: str, topic: str, ids: Collection[int]
) -> dict[int, dict[int, list[bytes]]]:
    """Read the topic: customer -> revision -> the payloads with that revision (one, or copies of
    one).
    """
    lists: dict[int, dict[int, list[bytes]]] = {customer_id: {} for customer_id in ids}
    keys = {str(customer_id).encode(): customer_id for customer_id in ids}
    for key, value in await records_of(bootstrap, topic):
        customer_id = keys.get(key or b"")
        if customer_id is None or value is None:
            continue
        try:
            data = json.loads(value)["data"]
            claimed = (data["customer_id"], data["revision"])
        except (ValueError, KeyError, TypeError):
            continue
        if claimed[0] == customer_id:
            lists[customer_id].setdefault(claimed[1], []).append(value)
    return lists


async def portal_tables(url: str, ids: Collection[int]) -> dict[int, Tables]:
    """Read the projector's customers, repairs, counters and history in one snapshot."""
    wanted = list(ids)
    async with connected(url) as connection, connection.transaction(isolation="repeatable_read"):
        customers = await connection.fetch(
            "SELECT * FROM portal.customer WHERE customer_id = ANY($1)", wanted
        )
        repairs = await connection.fetch(
            "SELECT * FROM portal.repair WHERE customer_id = ANY($1)", wanted
        )
        counts = await connection.fetch(
            "SELECT * FROM portal.repair_count WHERE customer_id = ANY($1)", wanted
        )
        history = await connection.fetch(
            "SELECT customer_id, revision, event_id FROM portal.repair_history WHERE customer_id = ANY($1) ORDER BY 1, 2",
            wanted,
        )
    tables = {
        row["customer_id"]: Tables(row["revision"], _text(row["event_id"])) for row in customers
    }
    for row in customers:
        tables[row["customer_id"]].parked = row["parked_reason"] if row["parked_at"] else None
    for row in repairs:
        table, repair_id = tables[row["customer_id"]], str(row["repair_id"])
        table.repairs[repair_id] = dict(row) | {"batch_id": _text(row["batch_id"])}
        table.changed[repair_id] = (row["revision"], str(row["event_id"]))
    for row in counts:
        if row["n"]:
            dimension = DIMENSIONS[row["dimension"]]
            getattr(tables[row["customer_id"]].counts, dimension)[row["bucket"]] = row["n"]
    for row in history:
        tables[row["customer_id"]].history.append((row["revision"], str(row["event_id"])))
    return tables


def _text(value: object) -> str | None:
    return None if value is None else str(value)


async def documents(redis_url: str, ids: Collection[int]) -> dict[int, dict[bytes, bytes]]:
    """Read each customer's cached counts as the raw hash in Redis; leave out customers without
    them.
    """
    redis = Redis.from_url(redis_url)
    try:
        found: Mapping[int, Any] = {n: await redis.hgetall(f"portal:{n}") for n in ids}
        return {customer_id: document for customer_id, document in found.items() if document}
    finally:
        await redis.aclose()
