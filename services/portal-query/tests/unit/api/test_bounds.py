from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from portal_query.counting import Dimension
from portal_query.read_model.bounds import Bounds, bounds_of
from portal_query.read_model.repairs import RepairFilter
from repair_events.month import Months

ZONE = ZoneInfo("America/Chicago")
MONTHS = Months("America/Chicago")
MIDNIGHTS = [
    datetime(2026, month, day, tzinfo=ZONE) for month in (1, 2, 3, 4) for day in (1, 2, 15)
]

Fleet = list[tuple[str, str, datetime]]
fleets: st.SearchStrategy[Fleet] = st.lists(
    st.tuples(
        st.sampled_from("AB"),
        st.sampled_from(("PENDING", "COMPLETED", "DENIED")),
        st.builds(
            lambda at, by: at.astimezone(UTC) + timedelta(microseconds=by),
            st.sampled_from(MIDNIGHTS),
            st.integers(-1, 1),
        ),
    ),
    max_size=40,
)
filters = st.builds(
    RepairFilter,
    statuses=st.sampled_from([(), ("PENDING",), ("DENIED", "COMPLETED"), ("DENIED", "DENIED")]),
    unit=st.sampled_from([None, None, "A", "C"]),
    month=st.sampled_from([None, None, "2026-02", "2026-09"]),
    since=st.none() | st.sampled_from(MIDNIGHTS),
    until=st.none() | st.sampled_from(MIDNIGHTS),
    text=st.sampled_from([None, None, "x"]),
)


def matching(which: RepairFilter, fleet: Fleet) -> int:
    return sum(
        (not which.statuses or status in which.statuses)
        and which.unit in {None, unit}
        and which.month in {None, MONTHS.month_of(date)}
        and (which.since is None or which.since <= date)
        and (which.until is None or date < which.until)
        for unit, status, date in fleet
    )


def known_of(fleet: Fleet) -> Counter[tuple[Dimension, str]]:
    found: Counter[tuple[Dimension, str]] = Counter()
    for unit, status, date in fleet:
        found[Dimension.UNIT, unit] += 1
        found[Dimension.STATUS, status] += 1
        found[Dimension.MONTH, MONTHS.month_of(date)] += 1
    return found


@given(filters, fleets)
def test_no_list_is_longer_than_its_bound_and_a_known_length_is_right(
    which: RepairFilter, fleet: Fleet
) -> None:
    bounds = bounds_of(which, known_of(fleet))
    found = matching(which, fleet)
    assert found <= bounds.at_most <= len(fleet)
    if bounds.beside is None:
        return
    assert which.text is None
    beside = [matching(one, fleet) for one in bounds.beside]
    assert bounds.exactly + sum(beside) == found
    assert sum(beside) <= bounds.edges


def test_one_condition_is_known_and_several_are_bounded_by_the_fewest() -> None:
    fleet: Fleet = [("A", "PENDING", MIDNIGHTS[1])] * 3 + [("B", "DENIED", MIDNIGHTS[2])]
    known = known_of(fleet)
    assert bounds_of(RepairFilter(), known) == Bounds(4, 4, ())
    assert bounds_of(RepairFilter(unit="A"), known) == Bounds(3, 3, ())
    both = RepairFilter(unit="A", statuses=("DENIED",))
    assert bounds_of(both, known) == Bounds(1)
    assert bounds_of(replace(both, unit=None, text="x"), known) == Bounds(1)


def test_whole_months_are_known_and_only_the_ends_of_days_are_to_be_counted() -> None:
    fleet: Fleet = [("A", "PENDING", date) for date in MIDNIGHTS]
    known = known_of(fleet)
    first, middle, last = MIDNIGHTS[0], MIDNIGHTS[4], MIDNIGHTS[9]
    assert bounds_of(RepairFilter(since=first, until=last), known) == Bounds(9, 9, ())
    cut = bounds_of(RepairFilter(since=middle, until=last), known)
    assert cut == Bounds(6, 3, (RepairFilter(month="2026-02", since=middle, until=last),), 3)
