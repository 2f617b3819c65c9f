"""Properties of streams that `decide` and `History` write, from commands in any order."""

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.laws.world.schedule import Schedule
from tests.laws.world.writer import CUSTOMERS, Transaction, Writer
from tests.oracle import fold as oracle

from repair_events.event import decode, encode

commands = st.binary(min_size=50, max_size=400)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def written(decisions: bytes) -> tuple[Writer, list[Transaction]]:
    """Return the writer after these commands, and its transactions."""
    writer, schedule = Writer(lambda: NOON), Schedule(decisions)
    done: list[Transaction] = []
    while not schedule.used_up:
        writer.begin(schedule)
        if writer.open:
            done.append(writer.open[0])
            writer.commit(0)
    return writer, done


def events_of(writer: Writer, customer: int) -> list[dict[str, Any]]:
    return [json.loads(one.payload) for one in writer.state.lists[customer]]


@settings(max_examples=200)
@given(commands)
def test_a_list_has_no_gap_and_makes_only_moves_that_are_allowed(decisions: bytes) -> None:
    writer, _ = written(decisions)

    for customer in CUSTOMERS:
        events = events_of(writer, customer)
        folded = oracle.fold(customer, events)  # raises at the first misplaced event
        oracle.check_moves(events)
        assert folded.revision == len(events)
        folded.counts("America/Chicago").total()


@settings(max_examples=200)
@given(commands)
def test_a_move_touches_both_histories_once_and_every_other_command_one(decisions: bytes) -> None:
    _, done = written(decisions)

    for one in done:
        events = [json.loads(known.payload) for _, known in one.rows]
        assert max(Counter(known.customer_id for _, known in one.rows).values()) == 1
        if len(events) > 1:
            left, arrived = (event["data"]["repair"] for event in events)
            facts = [event["type"].split(".")[-2] for event in events]
            assert facts == ["removed", "recorded"]
            assert left["repair_id"] == arrived["repair_id"]
            assert (left["removed"], arrived["removed"]) == (True, False)


@settings(max_examples=200)
@given(commands)
def test_a_repair_counts_for_one_customer_at_most(decisions: bytes) -> None:
    writer, _ = written(decisions)

    folds = [oracle.fold(customer, events_of(writer, customer)) for customer in CUSTOMERS]
    there = [key for one in folds for key, repair in one.repairs.items() if not repair["removed"]]
    assert len(there) == len(set(there))


@settings(max_examples=100)
@given(commands)
def test_every_event_of_a_list_is_the_same_after_decoding_and_encoding(decisions: bytes) -> None:
    writer, _ = written(decisions)

    for listed in writer.state.lists.values():
        for one in listed:
            assert encode(decode(one.payload)) == one.payload
