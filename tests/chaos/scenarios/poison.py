"""Foreign records on the topic, and events newer than a projector (rows 10, 24, 25, 26)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.chaos import topic
from tests.chaos.trial import InconclusiveError, Scenario, Trial

if TYPE_CHECKING:
    from collections.abc import Callable

Event = dict[str, Any]
LETTERS = "SELECT count(*) FROM portal.dead_letter"


async def not_json(t: Trial) -> None:
    """Send each kind of invalid bytes: each becomes a dead letter, and later events flow."""
    customer = str(t.load.hot[0]).encode()
    before = await t.one(LETTERS)
    rubbish = [
        b"not json",
        b"\x00\xff" * 40,
        b'{"data":',
        b"[]",
        b"",
        b"null",
        b'{"a":1}',
        b"9" * 60_000,
    ]
    records: list[tuple[bytes | None, bytes | None, int]] = [
        (key, value, partition)
        for key in (customer, b"nobody", None)
        for value in rubbish
        for partition in range(3)
    ]
    records += [(customer, None, partition) for partition in range(topic.PARTITIONS)]
    await topic.produce(t.places, records)

    async def all_set_aside() -> bool:
        return bool(await t.one(LETTERS) - before >= len(records))

    await t.until(all_set_aside, f"{len(records)} dead letters", 40)
    t.stage("poison", f"{len(records)} records, as many dead letters")
    await t.acked(20)
    await t.load.drain(30)
    await t.applied()
    t.load.start()


async def events_of_others(t: Trial) -> None:
    """Send an event under another's key, future revisions, a known revision with another body."""
    await t.acked(10)
    stored = await t.sql(
        "SELECT payload FROM writer.event WHERE customer_id = ANY($1) ORDER BY revision DESC LIMIT 8",
        t.load.hot[:2],
    )
    before = await t.one(LETTERS)
    records: list[tuple[bytes | None, bytes | None, int]] = []
    for number, row in enumerate(stored):
        event = json.loads(row["payload"])
        own = str(event["data"]["customer_id"]).encode()
        records.append((str(t.load.hot[3]).encode(), row["payload"], number))
        event["data"]["revision"] += 1_000
        records.append((own, json.dumps(event).encode(), number))
        event["data"]["revision"] -= 1_000
        event["id"] = event["id"][:-4] + "beef"
        records.append((own, json.dumps(event).encode(), number))
    await topic.produce(t.places, records)

    async def some_set_aside() -> bool:
        return bool(await t.one(LETTERS) - before >= len(stored))

    await t.until(some_set_aside, "dead letters", 40)
    t.stage("forged events", f"{len(records)} records")
    await t.acked(10)


def told_as(change: Callable[[Event], None]) -> Callable[[Trial], Any]:
    """Return a step that makes the writer accept a command with a modified event."""

    async def run(t: Trial) -> int:
        await t.down("relay")
        await t.load.drain(30)
        customer = t.load.hot[0]
        ack = await t.load.send(t.load.record(customer))
        if ack is None:
            raise InconclusiveError("the command was refused")
        where = "WHERE customer_id = $1 AND event_id = $2::uuid"
        place = (customer, ack.body["event_id"])
        payload = await t.one(f"SELECT payload FROM writer.event {where}", *place)
        event = json.loads(payload)
        change(event)
        for table in ("event", "outbox"):
            await t.sql(
                f"UPDATE writer.{table} SET payload = $3 {where}",
                *place,
                json.dumps(event).encode(),
            )
        t.stage("another version", event["type"])
        return customer

    return run


def _newer_minor(event: Event) -> None:
    event["specialversion"] = "1.9"
    event["data"] |= {"priority": 3, "tags": ["glass"]}
    event["data"]["repair"] |= {"colour": {"tint": "green"}}


def _unknown_fact(event: Event) -> None:
    event["type"] = "com.rswindrepair.repair.inspected.v1"


def _newer_major(event: Event) -> None:
    event["type"] = event["type"].replace(".v1", ".v2")


async def newer_minor(t: Trial) -> None:
    """Send fields and facts of a newer minor version: unknown ones are ignored, the event counts."""
    for change in (_newer_minor, _unknown_fact):
        await told_as(change)(t)
        await t.ready()
        await t.applied()
        t.load.start()
        await t.acked(5)


async def newer_major(t: Trial) -> None:
    """Send an unknown major version: it parks its customer only; after the upgrade the customer
    continues.
    """
    customer = await told_as(_newer_major)(t)
    await t.ready()
    parked = "SELECT parked_at IS NOT NULL FROM portal.customer WHERE customer_id = $1"

    async def is_parked() -> bool:
        return bool(await t.one(parked, customer))

    await t.until(is_parked, "the customer is parked", 40)
    t.stage(
        "parked",
        await t.one("SELECT parked_reason FROM portal.customer WHERE customer_id = $1", customer),
    )
    t.load.start()
    await t.acked(15)
    others = [await t.one(parked, other) for other in t.load.hot[1:]]
    t.expect(not any(others), f"I10: parked as well: {others}")
    await t.sql(
        "UPDATE writer.event SET payload = replace(convert_from(payload, 'UTF8'), '.v2\"', '.v1\"')::bytea "
        "WHERE customer_id = $1",
        customer,
    )
    await t.refold("--parked")


async def too_big(t: Trial) -> None:
    """Send a row of two megabytes: it becomes a dead letter with its reason; all others flow."""
    customer = t.load.hot[0]
    await t.sql(
        "INSERT INTO writer.outbox (customer_id, event_id, payload, accepted_at) "
        "VALUES ($1, gen_random_uuid(), $2, clock_timestamp())",
        customer,
        b'{"padding": "' + b"x" * 2_000_000 + b'"}',
    )
    refused = "SELECT count(*) FROM writer.outbox_refused WHERE customer_id = $1"

    async def set_aside() -> bool:
        return bool(await t.one(refused, customer))

    await t.until(set_aside, "the row is set aside")
    t.stage("row too big", "it is in writer.outbox_refused")
    await t.acked(20)


SCENARIOS = [
    Scenario("not JSON", "24", not_json),
    Scenario("forged events", "24", events_of_others),
    Scenario("newer minor version", "25", newer_minor),
    Scenario("newer major version", "26", newer_major, topic_whole=False),
    Scenario("outbox row too big", "10", too_big),
]
