"""Lanes: a failing partition holds back its own customers only."""

from dataclasses import dataclass
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from repair_events.topic import PARTITIONS, key, partition
from repair_writer.relay.lanes import MAX_BACKOFF_SECONDS, Lanes
from repair_writer.relay.loop import lane_of, new_lanes


@dataclass(frozen=True)
class Waiting:
    id: int
    customer_id: int


def lanes() -> Lanes:
    """Return ten lanes; a customer takes the one of its last digit."""
    return Lanes(10, lambda customer_id: customer_id % 10)


def rows(*customers: int) -> list[Waiting]:
    return [Waiting(number, customer) for number, customer in enumerate(customers, start=1)]


def test_rows_go_by_partition_in_their_order() -> None:
    groups = lanes().sort(rows(11, 22, 21, 32, 11), now=0.0)
    assert {lane: [row.id for row in group] for lane, group in groups.items()} == {
        1: [1, 3, 5],
        2: [2, 4],
    }


def test_a_lane_with_rows_under_way_takes_no_more_until_it_is_empty() -> None:
    ours = lanes()
    (group,) = ours.sort(rows(1, 11), now=0.0).values()
    ours[1].start(group, now=0.0)
    assert ours.under_way() == [1, 2]
    assert list(ours.sort(rows(1, 2), now=0.0)) == [2]
    ours[1].empty()
    assert ours.under_way() == []
    assert list(ours.sort(rows(1, 2), now=0.0)) == [1, 2]


def test_a_failed_lane_is_passed_by_until_its_time_has_come() -> None:
    ours = lanes()
    seconds = ours[3].fail(now=100.0)
    assert list(ours.sort(rows(3, 13, 4), now=100.0)) == [4]
    assert sorted(ours.passed_by(now=100.0)) == [3, 13]
    assert ours.passed_by(now=100.0 + seconds) == []
    assert list(ours.sort(rows(3, 13, 4), now=100.0 + seconds)) == [3, 4]


def test_a_lane_that_goes_on_failing_waits_longer_and_longer_up_to_a_limit() -> None:
    lane = lanes()[0]
    pauses = [lane.fail(now=0.0) for _ in range(2_000)]
    assert all(before <= after for before, after in pairwise(pauses))
    assert pauses[0] < pauses[3] < pauses[-1] == MAX_BACKOFF_SECONDS
    lane.succeed()
    assert lane.fail(now=0.0) == pauses[0]


def test_a_success_ends_sending_one_by_one() -> None:
    lane = lanes()[0]
    lane.singly = True
    lane.succeed()
    assert not lane.singly


def test_the_slowest_group_is_known() -> None:
    ours = lanes()
    assert ours.longest(now=9.0) == 0.0
    ours[1].start(rows(1), now=2.0)
    ours[2].start(rows(2), now=5.0)
    assert ours.longest(now=9.0) == 7.0
    ours[1].empty()
    assert ours.longest(now=9.0) == 4.0


@given(
    st.lists(st.integers(1, 60), max_size=80),
    st.sets(st.integers(0, 9), max_size=9),
)
def test_what_is_closed_is_passed_by_and_all_the_rest_flows_in_order(
    customers: list[int], closed: set[int]
) -> None:
    ours, waiting = lanes(), rows(*customers)
    for lane in closed:
        ours[lane].fail(now=0.0)
    groups = ours.sort(waiting, now=0.0)
    assert set(groups) == {customer % 10 for customer in customers} - closed
    assert set(ours.passed_by(now=0.0)) == {c for c in customers if c % 10 in closed}
    flowing = sorted((row for group in groups.values() for row in group), key=lambda row: row.id)
    assert flowing == [row for row in waiting if row.customer_id % 10 not in closed]
    assert all(a.id < b.id for group in groups.values() for a, b in pairwise(group))


def test_the_relay_uses_the_partition_and_key_of_the_language() -> None:
    for customer in (1, 42, 2**63 - 1):
        assert lane_of(customer) == (partition(customer), key(customer))
    assert new_lanes()[PARTITIONS - 1].partition == PARTITIONS - 1
