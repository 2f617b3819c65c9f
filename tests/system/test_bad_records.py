"""Foreign records on the topic: each is stored with its bytes as a dead letter, and no number
changes.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaProducer
from tests.oracle import hops
from tests.oracle.settle import eventually
from tests.system.test_side_by_side import record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.system.conftest import Portal

MARCH = "2026-03-10T15:00:00Z"


async def publish(portal: Portal, records: list[tuple[bytes, bytes]]) -> None:
    """Produce records to the topic, bypassing the writer."""
    producer = AIOKafkaProducer(bootstrap_servers=portal.places.kafka)
    await producer.start()
    try:
        for key, value in records:
            await producer.send_and_wait(portal.places.topic, value, key=key)
    finally:
        await producer.stop()


def forged(event: Mapping[str, Any], **changes: Any) -> bytes:
    """Return an event like this one under a new id, with other data."""
    data = dict(event["data"]) | changes
    return json.dumps(dict(event) | {"id": _id(), "data": data}).encode()


def _id() -> str:
    digits = secrets.token_hex(16)
    return f"{digits[:8]}-{digits[8:12]}-7{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"


async def set_aside(portal: Portal, values: list[bytes]) -> set[bytes]:
    """Return those of the values that are in the projector's dead letters, with their bytes."""
    async with hops.connected(portal.databases["portal"]) as connection:
        rows = await connection.fetch(
            "SELECT value FROM portal.dead_letter WHERE value = ANY($1::bytea[])", values
        )
    return {row["value"] for row in rows}


async def test_bad_records_are_set_aside_and_no_number_changes(portal: Portal) -> None:
    first, second = await portal.customers(2)
    for customer in (first, second):
        await record(portal, customer, ("A1", MARCH, "PENDING"), ("B2", MARCH, "COMPLETED"))
    before = await portal.agreed([first, second])
    payloads = (await hops.event_list(portal.databases["writer"], [first]))[first]
    last, head = json.loads(payloads[-1]), before[first].revision
    broken = dict(last) | {"id": _id()}
    key, other = str(first).encode(), str(second).encode()
    following = {"revision": head + 1, "previous": last["id"]}
    bad = [
        (key, b"\xff\x00 this is no JSON " + secrets.token_bytes(8)),
        (key, b'{"specversion": "1.0", "id": "' + _id().encode() + b'"}'),
        (key, json.dumps(broken | {"type": "com.example.weather.v1"}).encode()),
        (key, json.dumps({name: broken[name] for name in broken if name != "data"}).encode()),
        (key, forged(last, revision=-3)),
        (key, forged(last, revision=head + 1, previous=_id())),
        (key, forged(last, revision=head + 7, previous=_id())),
        (other, forged(last, **following)),
        (b"not a number", forged(last, **following)),
    ]
    values = [value for _, value in bad]

    await publish(portal, bad)

    async def all_aside() -> bool:
        missing[:] = set(values) - await set_aside(portal, values)
        return not missing

    missing: list[bytes] = []
    await eventually(all_aside, f"every bad record is set aside {missing}", 40)
    after = await portal.agreed([first, second])
    for customer in (first, second):
        assert after[customer].counts(portal.time_zone) == before[customer].counts(portal.time_zone)
        assert after[customer].revision == before[customer].revision


async def test_the_customers_of_bad_records_go_on(portal: Portal) -> None:
    (customer,) = await portal.customers(1)
    await record(portal, customer, ("A1", MARCH, "PENDING"))
    await portal.agreed([customer])
    await publish(portal, [(str(customer).encode(), b"{" + secrets.token_hex(8).encode())] * 3)

    await record(portal, customer, ("C3", MARCH, "DENIED"))

    folds = await portal.agreed([customer])
    assert folds[customer].counts(portal.time_zone).units == {"A1": 1, "C3": 1}


async def test_an_old_event_sent_again_changes_nothing(portal: Portal) -> None:
    (customer,) = await portal.customers(1)
    (repair_id,) = await record(portal, customer, ("A1", MARCH, "PENDING"))
    await portal.writer.status(repair_id, {"status": "DENIED"})
    before = await portal.agreed([customer])
    payloads = (await hops.event_list(portal.databases["writer"], [customer]))[customer]

    await publish(portal, [(str(customer).encode(), payload) for payload in payloads * 3])
    await record(portal, customer, ("B2", MARCH, "PENDING"))

    after = await portal.agreed([customer])
    assert after[customer].revision == before[customer].revision + 1
    assert after[customer].counts(portal.time_zone).total() == 2
