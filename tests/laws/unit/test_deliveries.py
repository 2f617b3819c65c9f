"""However a stream is batched, repeated, reordered and thinned out, the fold is the same."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.laws.world.doors import opened
from tests.laws.world.instant import Follower, memory
from tests.laws.world.schedule import Schedule
from tests.laws.world.store import Tables
from tests.laws.world.writer import Known, Writer

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True, scope="module")
def _doors() -> Iterator[None]:
    with opened():
        yield


def written(decisions: bytes) -> tuple[Writer, list[Known]]:
    """Return a writer after some commands, and all its events in the order of their acceptance."""
    writer, schedule = Writer(lambda: NOON), Schedule(decisions)
    events: list[Known] = []
    while not schedule.used_up:
        writer.begin(schedule)
        if writer.open:
            events += [known for _, known in writer.open[0].rows]
            writer.commit(0)
    return writer, events


def folded(writer: Writer, batches: list[list[Known]]) -> dict[int, Any]:
    """Return the tables after these batches, for each customer with an event."""
    tables = Tables(lambda: NOON)

    async def follow() -> None:
        follower = Follower(writer, memory(tables))
        for batch in batches:
            await follower.deliver(batch)
        await follower.finish()

    asyncio.run(follow())
    return {
        customer: (
            row.revision,
            row.event_id,
            row.still,
            row.name,
            {key: n for key, n in row.counts.items() if n},
            {
                key: (one.revision, one.removed, row.recorded[key])
                for key, one in row.repairs.items()
            },
            {key: (one.event_id, one.fact, one.status) for key, one in row.history.items()},
        )
        for customer, row in tables.customers.items()
        if row.revision
    }


@settings(max_examples=150)
@given(st.binary(min_size=50, max_size=250), st.data())
def test_however_a_list_is_delivered_the_fold_is_the_same(
    decisions: bytes, data: st.DataObject
) -> None:
    writer, events = written(decisions)
    picks = st.lists(st.integers(0, max(0, len(events) - 1)), max_size=12)
    delivered = [
        [events[number] for number in batch if events]
        for batch in data.draw(st.lists(picks, max_size=8))
    ]

    assert folded(writer, delivered) == folded(writer, [events])


@settings(max_examples=100)
@given(st.binary(min_size=50, max_size=250), st.lists(st.integers(1, 7), min_size=1, max_size=10))
def test_cut_anywhere_and_told_twice_it_is_the_same(decisions: bytes, sizes: list[int]) -> None:
    writer, events = written(decisions)
    batches: list[list[Known]] = []
    at = 0
    while at < len(events):
        size = sizes[len(batches) % len(sizes)]
        batches.append(
            events[max(0, at - 2) : at + size]
        )  # the last two of the previous batch again
        at += size

    assert folded(writer, batches) == folded(writer, [events])
