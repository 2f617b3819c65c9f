"""Records that are no events of a stream, and streams that cannot be folded."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from portal_query.read_model.letters import VALUE_BYTES
from repair_events import event, topic
from repair_events.event import encode
from repair_events.ids import new_id
from service_runtime.testing import eventually


async def _parked(world: Any, customer: int) -> bool:
    return bool(
        await world.database.fetchval(
            "SELECT parked_at IS NOT NULL FROM portal.customer WHERE customer_id = $1", customer
        )
    )


def _valid(world: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(encode(world.customer(99).record()))
    return found


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda _: b"\xff\x00 no json", id="no JSON"),
        pytest.param(lambda _: b"", id="nothing"),
        pytest.param(lambda _: b"[" * 50_000, id="too deep"),
        pytest.param(lambda e: json.dumps(e | {"type": "org.example.other"}).encode(), id="type"),
        pytest.param(lambda e: json.dumps(e | {"data": {}}).encode(), id="missing fields"),
        pytest.param(
            lambda e: json.dumps(e | {"data": e["data"] | {"revision": 2**70}}).encode(),
            id="a revision beyond 64 bits",
        ),
    ],
)
async def test_a_bad_record_is_set_aside_and_the_next_one_flows(world: Any, spoil: Any) -> None:
    fleet = world.customer(7)
    bad = spoil(_valid(world))
    del world.writer.lists[99]
    async with world.projector():
        await world.send(fleet.record())
        await world.send_bytes(bad, b"7", topic.partition(7))
        await world.send(fleet.record())
        await world.arrives(fleet)
        (letter,) = await world.letters()
        assert (letter["key"], letter["value"] or b"") == (b"7", bad[:VALUE_BYTES])
        assert letter["customer_id"] == 7


async def test_a_broken_event_of_a_list_is_fetched_from_the_list(world: Any) -> None:
    fleet = world.customer(7)
    first, second = fleet.record("A1"), fleet.record("A2")
    async with world.projector():
        await world.send(first)
        await world.send_bytes(encode(second)[:-30], b"7", topic.partition(7))
        await world.arrives(fleet)
        assert len(await world.letters()) == 1


async def test_an_event_under_another_customers_key_is_no_event(world: Any) -> None:
    fleet, other = world.customer(7), world.customer(8)
    first = fleet.record("A1")
    async with world.projector():
        await world.send(other.record())
        await world.send_bytes(encode(first), b"8", topic.partition(8))
        await world.arrives(other, fleet)
        assert len(await world.letters()) == 1


async def test_an_invented_event_is_set_aside_and_changes_nothing(world: Any) -> None:
    fleet = world.customer(7)
    async with world.projector():
        await world.send(fleet.record(), fleet.record())
        await world.arrives(fleet)
        invented = fleet.record("INVENTED")
        fleet.events.pop()
        del fleet.repairs[invented.data.repair.repair_id]
        await world.send(invented)
        unknown = msgspec.structs.replace(
            invented,
            data=msgspec.structs.replace(
                invented.data,
                customer_id=55,
                revision=9,
                repair=msgspec.structs.replace(invented.data.repair, customer_id=55),
            ),
        )
        await world.send(unknown)
        await world.send(fleet.record("A3"))
        await world.arrives(fleet)

        async def forgotten() -> bool:
            read = 55 in {letter["customer_id"] for letter in await world.letters()}
            return read and await world.revision(55) is None

        await eventually(forgotten, "the customer that never was is forgotten")
    # Customer 7's, which came alone, has no letter: it was plausible, and undone with the next
    # event.
    assert {letter["customer_id"] for letter in await world.letters()} <= {7, 55}


async def test_an_invented_event_that_fits_is_undone_at_the_next_look(world: Any) -> None:
    """It looks like a true event, and no stream has grown: the published customers are compared."""
    fleet = world.customer(7)
    async with world.projector(projector_sweep_page_seconds=3_600.0):
        await world.send(fleet.record(), fleet.record())
        await world.arrives(fleet)
        fleet.changed_at = datetime(2026, 1, 1, tzinfo=UTC)
        before = (await world.row(7))["refold"]
        invented = fleet.record("INVENTED")
        fleet.events.pop()
        del fleet.repairs[invented.data.repair.repair_id]
        fleet.changed_at = datetime(2026, 1, 1, tzinfo=UTC)
        await world.send(invented)

        async def undone() -> bool:
            return bool((await world.row(7))["refold"] > before)

        await eventually(undone, "the customer is folded again")
        await world.arrives(fleet)


async def test_an_unknown_fact_of_our_version_is_applied_by_its_state(world: Any) -> None:
    fleet = world.customer(7)
    repair = fleet.record("A1").data.repair
    odd = fleet.append(
        "polished",
        msgspec.structs.replace(repair, unit_number="A2"),
        type_="com.rswindrepair.repair.polished.v1",
    )
    value = json.loads(encode(odd)) | {"later": {"minor": 9}}
    async with world.projector():
        await world.send(fleet.events[0])
        await world.send_bytes(json.dumps(value).encode(), b"7", topic.partition(7))
        await world.arrives(fleet)


async def test_an_unknown_version_parks_its_customer_and_no_other(world: Any) -> None:
    fleet, other = world.customer(7), world.customer(8)
    first = fleet.record("A1")
    fleet.append(
        "recorded",
        fleet.repairs[first.data.repair.repair_id],
        type_="com.rswindrepair.repair.recorded.v2",
    )
    async with world.projector():
        await world.send(*fleet.events, other.record())
        await eventually(lambda: _parked(world, 7), "the customer is parked")
        await world.arrives(other)
        row = await world.row(7)
        assert row["revision"] == 1
        assert "v2" in row["parked_reason"]
        assert row["as_of"] == row["accepted_at"]
        await world.send(fleet.record("A3"), other.record())
        await world.arrives(other)
        assert await world.revision(7) == 1


async def test_a_status_outside_the_six_parks_until_the_list_is_mended(world: Any) -> None:
    fleet = world.customer(7)
    first = fleet.record("A1")
    fleet.change(first.data.repair.repair_id, event.STATUS_CHANGED, status="LOST")
    async with world.projector():
        await world.send(*fleet.events)
        await eventually(lambda: _parked(world, 7), "the customer is parked")
        assert "LOST" in (await world.row(7))["parked_reason"]
    fleet.events.pop()
    fleet.change(first.data.repair.repair_id, event.STATUS_CHANGED, status="PENDING")
    async with world.projector():
        await world.arrives(fleet)


async def test_a_list_with_a_gap_of_its_own_parks_at_the_gap(world: Any) -> None:
    fleet = world.customer(7)
    for n in range(5):
        fleet.record(f"A{n}")
    del fleet.events[2]
    async with world.projector():
        await eventually(lambda: _parked(world, 7), "the customer is parked")
        row = await world.row(7)
        assert (row["revision"], row["parked_reason"]) == (2, "revision 3 is missing, 4 follows")


async def test_a_count_that_would_fall_below_zero_sets_its_customer_aside_and_heals(
    world: Any,
) -> None:
    fleet, other = world.customer(7), world.customer(8)
    first = fleet.record("A1")
    async with world.projector():
        await world.send(first, other.record())
        await world.arrives(fleet, other)
        await world.database.execute("UPDATE portal.repair_count SET n = 0 WHERE customer_id = 7")
        world.writer.away = True
        await world.send(
            fleet.change(first.data.repair.repair_id, unit_number="B2"), other.record()
        )
        await eventually(lambda: _parked(world, 7), "the customer is parked")
        await world.arrives(other)
        assert await world.revision(7) == 1
        world.writer.away = False
        await world.arrives(fleet)


async def test_a_value_that_postgres_cannot_hold_takes_only_its_customer_out(world: Any) -> None:
    fleets = [world.customer(n) for n in range(1, 9)]
    for fleet in fleets:
        fleet.record("A1")
    fleets[3].record("A2", cost="1e40")
    async with world.projector():
        await world.send(*[e for fleet in fleets for e in fleet.events])
        await world.arrives(*fleets[:3], *fleets[4:])
        await eventually(lambda: _parked(world, 4), "the customer is parked")


async def test_a_record_that_is_delivered_again_is_no_second_letter(world: Any) -> None:
    fleet = world.customer(7)
    async with world.projector():
        await world.send_bytes(b"poison", b"7", topic.partition(7))
        await world.send(fleet.record())
        await world.arrives(fleet)
    async with world.projector(projector_group=f"another-{new_id()}"):
        await world.send(fleet.record())
        await world.arrives(fleet)
        assert len(await world.letters()) == 1
