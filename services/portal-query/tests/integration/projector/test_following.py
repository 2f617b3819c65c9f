"""Events in order, repeated, late or missing: the customer equals its stream."""

import random
from datetime import datetime, timedelta
from typing import Any

from repair_events import event
from repair_events.ids import new_id
from service_runtime.testing import eventually


async def test_events_are_counted_and_published(world: Any) -> None:
    fleet = world.customer(7)
    first = fleet.record("A1", status="PENDING")
    repair = first.data.repair.repair_id
    async with world.projector():
        await world.send(first, fleet.record("B2"), fleet.name("Midland"))
        await world.arrives(fleet)
        await world.send(
            fleet.change(repair, event.STATUS_CHANGED, status="APPROVED"),
            fleet.change(repair, unit_number="B2", repair_date="2026-03-01T03:00:00Z"),
        )
        await world.arrives(fleet)
        await world.send(fleet.change(repair, event.REMOVED, removed=True))
        await world.arrives(fleet)
    assert (await world.row(7))["name"] == "Midland"
    assert await world.letters() == []


async def test_a_redelivered_event_changes_nothing(world: Any) -> None:
    fleet = world.customer(7)
    events = [fleet.record(f"A{n}") for n in range(20)]
    async with world.projector():
        await world.send(*events)
        await world.arrives(fleet)
        refold = (await world.row(7))["refold"]
        await world.send(*events, *events[3:9], events[-1], events[-1])
        other = world.customer(8)
        await world.send(other.record())
        await world.arrives(fleet, other)
        assert (await world.row(7))["refold"] == refold


async def test_events_in_any_order_end_as_the_list(world: Any) -> None:
    fleets = [world.customer(n) for n in range(1, 6)]
    rng = random.Random(4)
    events = []
    for _ in range(200):
        fleet = rng.choice(fleets)
        if fleet.repairs and rng.random() < 0.5:
            repair = rng.choice(sorted(fleet.repairs))
            events.append(fleet.change(repair, unit_number=f"U{rng.randrange(9)}"))
        else:
            events.append(fleet.record(f"U{rng.randrange(9)}"))
    rng.shuffle(events)
    async with world.projector():
        await world.send(*events[:100])
        await world.send(*events[100:])
        await world.arrives(*fleets)


async def test_a_gap_is_filled_from_the_list(world: Any) -> None:
    fleet = world.customer(7)
    kept = fleet.record("A1")
    lost = fleet.record("LOST")
    after = fleet.record("A3")
    async with world.projector():
        await world.send(kept, after)
        await world.arrives(fleet)
        await world.send(lost)
        await world.send(fleet.record("A4"))
        await world.arrives(fleet)


async def test_a_fork_is_replaced_by_the_list(world: Any) -> None:
    """As after a restore of the writer: other events under the same revisions."""
    fleet = world.customer(7)
    async with world.projector():
        await world.send(*[fleet.record("OLD") for _ in range(5)])
        await world.arrives(fleet)
        before = (await world.row(7))["refold"]
        fleet.events = fleet.events[:2]
        fleet.repairs = {e.data.repair.repair_id: e.data.repair for e in fleet.events}
        anew = [fleet.record("NEW") for _ in range(6)]
        await world.send(*anew)
        await world.arrives(fleet)
        assert (await world.row(7))["refold"] > before


async def test_a_shorter_list_wins(world: Any) -> None:
    fleet = world.customer(7)
    async with world.projector():
        await world.send(*[fleet.record("OLD") for _ in range(5)])
        await world.arrives(fleet)
        fleet.events = fleet.events[:3]
        fleet.repairs = {e.data.repair.repair_id: e.data.repair for e in fleet.events}
        await world.arrives(fleet)


async def test_an_event_lost_on_a_quiet_customer_is_found(world: Any) -> None:
    fleet = world.customer(7)
    first = fleet.record("A1")
    async with world.projector():
        await world.send(first)
        await world.arrives(fleet)
        fleet.record("NEVER SENT")
        await world.arrives(fleet)


async def test_whoever_rests_is_compared_once_and_then_left_alone(world: Any) -> None:
    fleet = world.customer(7)
    async with world.projector(projector_heads_seconds=0.3, projector_selfcheck_seconds=3_600.0):
        await world.send(fleet.record("A1"))
        fleet.changed_at -= timedelta(hours=1)
        await world.arrives(fleet)
        await _looked_again_and_again(world)
    asked = sum("/customers/7/" in path for path in world.writer.asked)
    assert asked <= 2, world.writer.asked


async def test_whom_the_writer_does_not_know_is_asked_for_and_forgotten(world: Any) -> None:
    invented = world.customer(55).record()
    del world.writer.lists[55]
    async with world.projector(projector_heads_seconds=0.3, projector_selfcheck_seconds=3_600.0):
        await world.send(invented)

        async def forgotten() -> bool:
            asked = any("/customers/55/" in path for path in world.writer.asked)
            return asked and await world.revision(55) is None

        await eventually(forgotten, "the customer that never was is forgotten")
        await _looked_again_and_again(world)
    asked = sum("/customers/55/" in path for path in world.writer.asked)
    assert asked <= 4, world.writer.asked


async def _looked_again_and_again(world: Any) -> None:
    def looks() -> int:
        return sum("changed_since" in path for path in world.writer.asked)

    begun = looks()

    async def ten_times() -> bool:
        return looks() >= begun + 10

    await eventually(ten_times, "ten looks at what has changed lately")


async def test_an_event_that_kafka_refused_for_good_is_found_at_once(world: Any) -> None:
    fleet = world.customer(7)
    async with world.projector(
        projector_heads_seconds=3_600.0, projector_sweep_page_seconds=3_600.0
    ):
        await world.send(fleet.record("A1"))
        await world.arrives(fleet)
        fleet.record("TOO LARGE")
        world.writer.refused_rows += 1
        await world.arrives(fleet)


async def test_time_does_not_pass_an_event_lost_behind_one_that_is_on_its_way(world: Any) -> None:
    fleet = world.customer(7)
    lost = fleet.record("LOST")
    world.writer.sent_until = datetime.fromisoformat(lost.time) + timedelta(microseconds=1)
    newest = fleet.record("ON ITS WAY")
    assert datetime.fromisoformat(newest.time) >= world.writer.sent_until
    async with world.projector():

        async def others_are_compared() -> bool:
            asked = world.writer.asked
            heads = [n for n, path in enumerate(asked) if path.startswith("/v1/heads")]
            return bool(heads) and asked[heads[0] :].count("/v1/progress") > 1

        await eventually(others_are_compared, "heads have been compared, and time might move")
        assert await world.database.fetchval("SELECT count(*) FROM portal.partition_progress") == 0
        await world.send(newest)
        await world.arrives(fleet)


async def test_a_customer_of_whom_nothing_was_sent_is_found(world: Any) -> None:
    fleet = world.customer(7)
    for n in range(30):
        fleet.record(f"A{n}")
    async with world.projector():
        await world.arrives(fleet)


async def test_an_emptied_read_model_fills_again(world: Any) -> None:
    fleet = world.customer(7)
    async with world.projector():
        await world.send(*[fleet.record(f"A{n}") for n in range(5)])
        await world.arrives(fleet)
        before = (await world.row(7))["refold"]
        await world.database.execute(
            "TRUNCATE portal.customer, portal.repair, portal.repair_count, portal.repair_history"
        )
        await world.send(fleet.record("A6"))
        await world.arrives(fleet)
        assert (await world.row(7))["refold"] > before


async def test_a_move_between_customers_is_two_histories(world: Any) -> None:
    old, new = world.customer(7), world.customer(8)
    repair = old.record("A1").data.repair
    gone = old.change(repair.repair_id, event.REMOVED, removed=True)
    there = new.record("A1", repair_id=repair.repair_id)
    async with world.projector():
        await world.send(old.events[0], gone, there)
        await world.arrives(old, new)
    assert await world.counts(7) == {}


async def test_offsets_that_were_set_back_change_nothing(world: Any) -> None:
    fleet = world.customer(7)
    async with world.projector():
        await world.send(*[fleet.record(f"A{n}") for n in range(10)])
        await world.arrives(fleet)
        refold = (await world.row(7))["refold"]
    async with world.projector(projector_group=f"another-{new_id()}"):
        await world.send(fleet.record("B1"))
        await world.arrives(fleet)
        assert (await world.row(7))["refold"] == refold


async def test_partitions_move_between_projectors_without_loss(world: Any) -> None:
    fleets = [world.customer(n) for n in range(1, 25)]

    async def some() -> None:
        await world.send(*[fleet.record(f"A{n}") for n in range(3) for fleet in fleets])

    async with world.projector() as first:
        await some()
        async with world.projector() as second:
            await some()

            async def shared() -> bool:
                owned = [sum(p.intake.owns(f.customer_id) for f in fleets) for p in (first, second)]
                return bool(0 < owned[0] < len(fleets) and sum(owned) == len(fleets))

            await eventually(shared, "both projectors have partitions")
            await some()
            await world.arrives(*fleets)
        await some()
        await world.arrives(*fleets)
