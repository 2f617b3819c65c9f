"""Positions, freshness, the buffer and the pace: values that advance only as far as is true."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from portal_query.projector.buffer import Buffer
from portal_query.projector.freshness import Freshness
from portal_query.projector.heads import compare
from portal_query.projector.lists import Head
from portal_query.projector.pace import CATCHING_UP, Pace
from portal_query.projector.positions import Mark, Positions
from portal_query.projector.testing import TopicRecord
from portal_query.read_model.standing import Standing

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds: int) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def positions() -> Positions:
    made = Positions()
    made.keep([0])
    return made


@pytest.fixture
def freshness(positions: Positions) -> Freshness:
    made = Freshness(positions)
    made.assigned([0])
    made.compared(made.uncompared())
    return made


def publish(positions: Positions, first: int, following: int) -> None:
    mark, _ = positions.read(0, first, following, following - first)
    positions.applied({0: mark})
    positions.published({0: mark})


def test_time_stands_still_where_the_topic_has_become_shorter_than_it_was_seen(
    positions: Positions, freshness: Freshness
) -> None:
    publish(positions, 0, 100)
    freshness.sent(at(0), {0: 110})
    freshness.sent(at(1), {0: 105})
    publish(positions, 100, 120)  # other records, in the place of the lost ones
    freshness.sent(at(2), {0: 120})
    freshness.advance()

    assert freshness.as_of() == {}
    assert list(freshness.uncompared()) == [0]


def test_time_moves_when_what_was_published_has_passed_the_end(
    positions: Positions, freshness: Freshness
) -> None:
    freshness.sent(at(0), {0: 10})
    mark, _ = positions.read(0, 0, 10, 10)
    positions.applied({0: mark})
    freshness.advance()

    assert freshness.as_of() == {}
    assert freshness.applied_until() == {0: at(0)}

    positions.published({0: mark})
    freshness.sent(at(1), {0: 11})
    freshness.advance()

    assert freshness.as_of() == {0: at(0)}


def test_time_stands_still_after_a_discontinuity_until_heads_are_compared(
    positions: Positions, freshness: Freshness
) -> None:
    publish(positions, 0, 10)
    freshness.broken(0)
    freshness.sent(at(5), {0: 10})
    freshness.advance()
    assert freshness.as_of() == {}
    assert not freshness.ready()

    freshness.compared(freshness.uncompared())

    assert freshness.as_of() == {0: at(5)}


def test_a_comparison_from_before_the_discontinuity_proves_nothing(freshness: Freshness) -> None:
    freshness.broken(0)
    older = freshness.uncompared()
    freshness.broken(0)

    freshness.compared(older)

    assert not freshness.ready()


def test_an_empty_partition_is_fresh_where_the_consumer_stands(
    positions: Positions, freshness: Freshness
) -> None:
    freshness.sent(at(0), {0: 0})
    freshness.advance()
    assert freshness.as_of() == {}

    assert positions.stands(0, 0)
    freshness.advance()

    assert freshness.as_of() == {0: at(0)}


def test_records_on_their_way_hold_the_position(positions: Positions) -> None:
    positions.read(0, 0, 10, 10)

    assert positions.stands(0, 10)
    assert positions.applied_to(0) is None


def test_offsets_that_jump_begin_a_new_epoch(positions: Positions) -> None:
    old, follows = positions.read(0, 990, 1000, 10)
    assert follows
    new, follows = positions.read(0, 0, 50, 50)
    assert not follows

    positions.applied({0: old})
    assert positions.applied_to(0) is None
    positions.applied({0: new})
    assert positions.applied_to(0) == 50


def test_a_gap_within_what_was_read_begins_a_new_epoch(positions: Positions) -> None:
    old, _ = positions.read(0, 0, 10, 10)
    new, follows = positions.read(0, 10, 20, 9)
    assert not follows

    positions.applied({0: old})
    assert positions.applied_to(0) is None
    positions.applied({0: new})
    assert positions.applied_to(0) == 20


def test_a_gap_in_the_first_records_of_an_epoch_is_noticed(positions: Positions) -> None:
    _, follows = positions.read(0, 5, 20, 14)

    assert not follows


def test_what_was_read_under_an_older_assignment_counts_for_nothing(positions: Positions) -> None:
    old, _ = positions.read(0, 0, 10, 10)
    positions.forget()
    positions.keep([0])

    positions.applied({0: old})
    positions.published({0: old})

    assert positions.published_to(0) is None


def test_records_that_come_before_the_assignment_is_told_are_kept(positions: Positions) -> None:
    positions.forget()
    early, _ = positions.read(0, 0, 10, 10)
    positions.keep([0, 1])

    positions.applied({0: early})

    assert positions.applied_to(0) == 10


def test_a_consumer_that_was_sent_elsewhere_is_noticed(positions: Positions) -> None:
    publish(positions, 0, 10)

    assert positions.stands(0, 10)
    assert not positions.stands(0, 3)


def test_marks_that_pile_up_are_bounded_and_the_oldest_still_pass(
    positions: Positions, freshness: Freshness
) -> None:
    for second in range(5_000):
        freshness.sent(at(second), {0: second + 1})
    publish(positions, 0, 5)
    freshness.advance()

    assert freshness.as_of() == {0: at(4)}


async def test_a_buffer_is_taken_in_order_and_says_how_far() -> None:
    buffer = Buffer()
    buffer.add(0, [TopicRecord(b"", offset=n) for n in range(5)], Mark(1, 5))
    buffer.add(1, [TopicRecord(b"", offset=n) for n in range(3)], Mark(2, 3))

    taken, marks = buffer.take(4)
    assert ([one.offset for one in taken], marks) == ([0, 1, 2, 3], {0: Mark(1, 4)})
    taken, marks = buffer.take(100)
    assert (len(taken), marks, buffer.size) == (4, {0: Mark(1, 5), 1: Mark(2, 3)}, 0)


def test_batches_are_short_while_live_and_full_while_catching_up() -> None:
    pace = Pace()
    for _ in range(50):
        pace.observe(1_000, 0.1)

    assert pace.limit(10) == 150
    assert pace.limit(50_000) == CATCHING_UP


@pytest.mark.parametrize(
    ("standing", "behind", "ahead"),
    [
        pytest.param(None, [7], [], id="unknown to us"),
        pytest.param({"revision": 4}, [7], [], id="behind"),
        pytest.param({"revision": 5, "event_id": "other"}, [7], [], id="another event"),
        pytest.param({"revision": 5, "fold_version": "old"}, [7], [], id="another rule"),
        pytest.param({"revision": 6, "event_id": "f"}, [], [7], id="ahead"),
        pytest.param({"revision": 5}, [], [], id="the same"),
        pytest.param({"revision": 1, "still": True}, [], [], id="standing still already"),
    ],
)
def test_heads_differ_by_revision_event_and_rule(
    standing: dict[str, Any] | None, behind: list[int], ahead: list[int]
) -> None:
    fields: dict[str, Any] = {
        "customer_id": 7,
        "event_id": "e",
        "refold": 1,
        "fold_version": "ours",
        "parked": False,
        "still": False,
        "version": "1",
    }
    held = {} if standing is None else {7: Standing(**(fields | standing))}

    found = compare([Head(7, 5, "e", NOON)], held, "ours")

    assert (found.behind, found.ahead) == (behind, ahead)


def test_a_comparison_from_before_a_new_assignment_proves_nothing(freshness: Freshness) -> None:
    freshness.broken(0)
    older = freshness.uncompared()
    freshness.assigned([0])

    freshness.compared(older)

    assert not freshness.ready()


def test_an_event_refused_for_good_is_a_discontinuity(
    positions: Positions, freshness: Freshness
) -> None:
    freshness.refused(3)
    freshness.compared(freshness.uncompared())
    freshness.sent(at(0), {0: 10})
    publish(positions, 0, 10)
    freshness.advance()
    freshness.refused(3)
    assert freshness.as_of() == {0: at(0)}

    freshness.refused(4)

    assert freshness.as_of() == {}
    assert not freshness.ready()
