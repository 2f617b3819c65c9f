"""Properties of counting, over generated histories."""

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal_query.counting import Buckets, Dimension, Tally, UncountableError, place
from repair_events.month import Months
from repair_events.repair import Repair
from repair_events.status import STATUSES

CHICAGO = Months("America/Chicago")
DATES = (
    "2026-01-15T12:00:00Z",
    "2026-02-01T05:59:59.999999Z",
    "2026-02-01T06:00:00Z",
    "2026-07-01T04:59:59Z",
    "2026-07-01T05:00:00Z",
)


def repair(
    number: int = 1,
    unit: str = "A1",
    date: str = DATES[0],
    status: str = "PENDING",
    *,
    removed: bool = False,
) -> Repair:
    return Repair(
        repair_id=f"00000000-0000-7000-8000-{number:012d}",
        customer_id=7,
        unit_number=unit,
        repair_date=date,
        status=status,
        removed=removed,
        source="tests",
    )


states = st.builds(
    repair,
    number=st.integers(1, 6),
    unit=st.sampled_from(["A1", "B2", "é"]),
    date=st.sampled_from(DATES),
    status=st.sampled_from(STATUSES),
    removed=st.booleans(),
)
histories = st.lists(states, max_size=40)


def fold(history: list[Repair]) -> dict[tuple[Dimension, str], int]:
    tally = Tally(CHICAGO)
    for state in history:
        tally.add(state)
    return tally.counts()


def sums(counts: dict[tuple[Dimension, str], int]) -> dict[Dimension, int]:
    totals = dict.fromkeys(Dimension, 0)
    for (dimension, _), n in counts.items():
        totals[dimension] += n
    return totals


@given(histories)
def test_the_counts_are_those_of_the_last_state_of_each_repair(history: list[Repair]) -> None:
    last = {one.repair_id: one for one in history}
    expected: Counter[tuple[Dimension, str]] = Counter()
    for one in last.values():
        if not one.removed:
            expected.update(zip(Dimension, place(one, CHICAGO), strict=True))

    assert fold(history) == dict(expected)


@given(histories)
def test_all_three_counts_sum_to_the_repairs_that_were_not_removed(history: list[Repair]) -> None:
    last = {one.repair_id: one for one in history}
    there = sum(not one.removed for one in last.values())

    assert set(sums(fold(history)).values()) == {there}


@given(histories)
def test_no_count_is_listed_that_is_not_above_zero(history: list[Repair]) -> None:
    assert all(n > 0 for n in fold(history).values())


@given(histories)
def test_replaying_a_history_adds_nothing(history: list[Repair]) -> None:
    assert fold([*history, *history]) == fold(history)


@given(states)
def test_a_removed_repair_counts_nowhere_and_still_stands_somewhere(state: Repair) -> None:
    gone = msgspec.structs.replace(state, removed=True)

    assert fold([state, gone]) == fold([gone]) == {}
    assert place(gone, CHICAGO) == place(state, CHICAGO)


@pytest.mark.parametrize(
    ("date", "month"),
    [
        ("2026-02-01T05:59:59Z", "2026-01"),
        ("2026-02-01T06:00:00Z", "2026-02"),
        ("2026-07-01T04:59:59Z", "2026-06"),
        ("2026-07-01T05:00:00Z", "2026-07"),
    ],
)
def test_a_month_ends_at_midnight_on_the_portals_wall(date: str, month: str) -> None:
    assert place(repair(date=date), CHICAGO) == Buckets("A1", month, "PENDING")


@pytest.mark.parametrize(
    "odd",
    [
        repair(status="LOST"),
        repair(status="pending"),
        repair(date="soon"),
        repair(date="2026-01-01"),
    ],
)
def test_what_cannot_be_counted_is_refused_and_changes_nothing(odd: Repair) -> None:
    tally = Tally(CHICAGO)
    tally.add(repair(2))
    before = tally.counts()

    with pytest.raises(UncountableError):
        tally.add(odd)

    assert tally.counts() == before
