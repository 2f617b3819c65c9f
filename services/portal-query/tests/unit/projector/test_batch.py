"""Preparation of a transaction from records, and its position after the stored state."""

import json
import random
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal_query.projector.arrived import BadRecord, read
from portal_query.projector.batch import pack_again, prepare, without
from portal_query.projector.chain import Trouble, Verdict, judge
from portal_query.projector.testing import CustomerList, TopicRecord, record_of
from portal_query.read_model.folding import Held
from repair_events.event import encode
from repair_events.month import Months, fold_version

ZONE = "America/Chicago"
moment = datetime.fromisoformat
RULE = fold_version(ZONE)
MONTHS = Months(ZONE)


def held(one: CustomerList, revision: int, **more: Any) -> Held:
    event_id = one.events[revision - 1].id if revision else None
    return Held(
        **{
            "customer_id": one.customer_id,
            "revision": revision,
            "event_id": event_id,
            "fold_version": RULE,
            "parked": False,
            "still": False,
            **more,
        }
    )


def five(customer: int = 7) -> CustomerList:
    one = CustomerList(customer)
    for n in range(5):
        one.record(f"A{n}")
    return one


def arrived(events: list[Any]) -> list[Any]:
    return prepare([record_of(e) for e in events], {}, MONTHS).parts[7].arrived


def test_what_follows_is_applied() -> None:
    one = five()

    assert judge(held(one, 0), arrived(one.events), RULE) == Verdict(0)
    assert judge(held(one, 2), arrived(one.events[2:]), RULE) == Verdict(0)


def test_what_is_old_is_skipped() -> None:
    one = five()

    assert judge(held(one, 3), arrived(one.events), RULE) == Verdict(3)
    assert judge(held(one, 5), arrived(one.events), RULE) == Verdict(5)


@pytest.mark.parametrize(
    ("at", "events", "trouble"),
    [
        pytest.param(0, [2], Trouble.GAP, id="begins too late"),
        pytest.param(1, [2, 4], Trouble.GAP, id="a hole in the middle"),
        pytest.param(2, [1, 5], Trouble.GAP, id="old ones before the hole"),
    ],
)
def test_a_hole_is_a_gap(at: int, events: list[int], trouble: Trouble) -> None:
    one = five()
    found = arrived([one.events[n - 1] for n in events])

    assert judge(held(one, at), found, RULE).trouble is trouble


def test_another_predecessor_is_a_fork() -> None:
    one, other = five(), five()

    assert judge(held(one, 2), arrived(other.events[2:]), RULE).trouble is Trouble.FORK


def test_another_event_under_the_held_revision_is_a_fork() -> None:
    one, other = five(), five()

    assert judge(held(one, 3), arrived(other.events[2:3]), RULE).trouble is Trouble.FORK


def test_two_events_of_one_revision_in_a_batch_are_a_fork() -> None:
    one, other = five(), five()
    found = arrived([one.events[0], one.events[1], other.events[1]])

    assert judge(held(one, 0), found, RULE).trouble is Trouble.FORK


def test_another_rule_of_counting_and_an_unknown_version_are_trouble() -> None:
    one = five()
    other_rule = held(one, 0, fold_version="0:Europe/Berlin")
    strange = one.append(
        "recorded", one.events[0].data.repair, type_="com.rswindrepair.repair.recorded.v2"
    )

    assert judge(other_rule, arrived(one.events[:1]), RULE).trouble is Trouble.OTHER_RULE
    found = judge(held(one, 5), arrived([strange]), RULE)
    assert found.trouble is Trouble.UNKNOWN_MAJOR


def test_a_parked_customer_gets_nothing() -> None:
    one = five()

    assert judge(held(one, 0, parked=True), arrived(one.events), RULE) == Verdict(5)


@given(st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(rng: random.Random) -> None:
    lists = [five(n) for n in (1, 2, 3)]
    repair = next(iter(lists[0].repairs))
    lists[0].change(repair, unit_number="B9")
    records = [record_of(e) for one in lists for e in one.events]
    shuffled = [*records, *rng.choices(records, k=5)]
    rng.shuffle(shuffled)

    ordered, mixed = prepare(records, {}, MONTHS), prepare(shuffled, {}, MONTHS)

    assert json.loads(mixed.packed) == json.loads(ordered.packed)
    assert list(mixed.parts) == [1, 2, 3]
    assert [part.step for part in mixed.parts.values()] == [
        part.step for part in ordered.parts.values()
    ]


def test_only_the_newest_state_of_a_repair_is_written() -> None:
    one = CustomerList(7)
    one.record("A1")
    repair = next(iter(one.repairs))
    one.change(repair, unit_number="A2")
    one.change(repair, unit_number="A3")

    rows = json.loads(prepare([record_of(e) for e in one.events], {}, MONTHS).packed)

    assert [(row["unit_number"], row["newest"]) for row in rows] == [
        ("A1", False),
        ("A2", False),
        ("A3", True),
    ]
    assert rows[2]["recorded_at"] == one.events[0].time


def test_a_shortened_part_is_packed_from_its_records() -> None:
    one = five()
    batch = prepare([record_of(e) for e in one.events], {}, MONTHS)
    shorter = without(batch.parts[7], 3)

    rows = json.loads(pack_again([shorter], MONTHS))

    assert [row["revision"] for row in rows] == [4, 5]


def test_what_a_customer_must_not_see_is_not_packed() -> None:
    one = CustomerList(7)
    one.record(technician="Ada", technician_notes="rude customer")
    internal = msgspec.structs.replace(
        one.events[0], data=msgspec.structs.replace(one.events[0].data, reason="bad debt")
    )

    packed = prepare([record_of(internal)], {}, MONTHS).packed

    assert not any(word in packed for word in (b"Ada", b"rude", b"bad debt"))


def test_an_uncountable_repair_is_remembered_by_its_revision() -> None:
    one = five()
    one.record(status="LOST")

    batch = prepare([record_of(e) for e in one.events], {}, MONTHS)

    assert batch.parts[7].uncountable_at == 6
    assert len(json.loads(batch.packed)) == 5


@given(st.binary(max_size=200), st.none() | st.binary(max_size=25))
def test_no_bytes_make_reading_raise(value: bytes, key: bytes | None) -> None:
    assert isinstance(read(TopicRecord(value, key)), BadRecord)


def test_a_bad_record_names_the_customers_of_its_key_and_its_value() -> None:
    found = record_of(five().events[0])
    found.key = b"8"

    bad = read(found)

    assert isinstance(bad, BadRecord)
    assert bad.customers == (7, 8)
    found.value = None
    bad = read(found)
    assert isinstance(bad, BadRecord)
    assert bad.customers == (8,)
    found.key, found.value = b"7", encode(five().events[0])
    assert not isinstance(read(found), BadRecord)


def test_an_event_under_an_old_revision_that_came_later_is_a_fork() -> None:
    one, restored = five(), five()
    last = one.events[-1].time

    assert judge(held(one, 5, accepted_at=moment(last)), arrived(one.events), RULE) == Verdict(5)
    again = arrived(restored.events[:2])
    assert again[0].time > last
    found = judge(held(one, 5, accepted_at=moment(last)), again, RULE)
    assert found.trouble is Trouble.FORK
