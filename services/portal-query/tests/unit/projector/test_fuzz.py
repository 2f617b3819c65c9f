"""Arbitrary bytes: reading and preparing never raise, lose nothing and invent nothing."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from portal_query.projector.arrived import BadRecord, read
from portal_query.projector.batch import pack_again, prepare
from portal_query.projector.chain import judge
from portal_query.projector.testing import CustomerList, TopicRecord
from portal_query.read_model.folding import Held
from repair_events import topic
from repair_events.month import Months, fold_version

ZONE = "America/Chicago"
MONTHS = Months(ZONE)


def _lists() -> dict[int, list[bytes]]:
    found = {}
    for customer in (7, 8, 9):
        one = CustomerList(customer)
        one.name("Fleet")
        for n in range(4):
            first = one.record(f"A{n}").data.repair
            assert first is not None
            one.change(first.repair_id, unit_number=f"B{n}")
        found[customer] = one.lines
    return found


LISTS = _lists()
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["7", 7, 2**63, -1, "2026-02-30T00:00:00Z", "\x00", "PENDING", "1e400"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
TRUE = st.sampled_from([line for lines in LISTS.values() for line in lines])
KEYS = st.sampled_from([b"7", b"8", b"9", b"07", b"-7", b"", b"9" * 30, None]) | st.binary(
    max_size=12
)


@st.composite
def spoilt(draw: Any) -> bytes:
    """Return a true event with one field, at any depth, replaced or missing."""
    value = json.loads(draw(TRUE))
    inside = value
    while True:
        name = draw(st.sampled_from(sorted(inside)))
        if isinstance(inside[name], dict) and draw(st.booleans()):
            inside = inside[name]
            continue
        if draw(st.booleans()):
            inside[name] = draw(JSON)
        else:
            del inside[name]
        return json.dumps(value).encode()


VALUES = (
    TRUE
    | spoilt()
    | st.none()
    | st.binary(max_size=60)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.tuples(TRUE, st.integers(0, 900)).map(lambda cut: cut[0][: cut[1]])
)


@st.composite
def records(draw: Any) -> TopicRecord:
    value = draw(VALUES)
    own = value is not None and draw(st.booleans())
    key = _own_key(value) if own else draw(KEYS)
    return TopicRecord(value, key, draw(st.integers(0, 2**40)), draw(st.integers(0, 11)))


def _own_key(value: bytes) -> bytes:
    return next((topic.key(n) for n, lines in LISTS.items() if value in lines), b"7")


@given(records())
def test_a_record_is_an_event_under_its_own_key_or_a_bad_record_with_a_reason(
    record: TopicRecord,
) -> None:
    found = read(record)

    if isinstance(found, BadRecord):
        assert found.reason
        assert all(0 < customer < 2**63 for customer in found.customers)
    else:
        arrived, event, _ = found
        assert record.key == topic.key(arrived.customer_id)
        assert (arrived.customer_id, arrived.revision) == (
            event.data.customer_id,
            event.data.revision,
        )


@given(st.lists(records(), max_size=30))
def test_a_batch_has_every_event_once_in_order_and_every_bad_record(
    arriving: list[TopicRecord],
) -> None:
    batch = prepare(arriving, {}, MONTHS)

    read_ones = [read(record) for record in arriving]
    bad = [one for one in read_ones if isinstance(one, BadRecord)]
    events: dict[tuple[int, int, str], Any] = {}
    for first, *_ in (one for one in read_ones if not isinstance(one, BadRecord)):
        events.setdefault((first.customer_id, first.revision, first.id), first.record)
    arrived = [one for part in batch.parts.values() for one in part.arrived]
    held = [(one.customer_id, one.revision, one.id) for one in arrived]
    assert len(batch.bad) == len(bad)
    assert len(held) == len(set(held))
    assert set(held) == set(events)
    assert all(one.record is events[one.customer_id, one.revision, one.id] for one in arrived)
    assert [(n, revision) for n, revision, _ in held] == sorted((n, r) for n, r, _ in held)
    rows = json.loads(batch.packed)
    assert {(row["customer_id"], row["revision"], row["event_id"]) for row in rows} <= set(events)
    assert json.loads(pack_again(batch.parts.values(), MONTHS)) == rows


@given(st.lists(records(), max_size=30), st.integers(0, 9))
def test_only_what_follows_what_is_held_may_be_applied(
    arriving: list[TopicRecord], revision: int
) -> None:
    for customer, part in prepare(arriving, {}, MONTHS).parts.items():
        lines = LISTS.get(customer, [])
        at = min(revision, len(lines))
        last = json.loads(lines[at - 1])["id"] if at else None
        held = Held(customer, at, last, fold_version(ZONE), parked=False, still=False)

        verdict = judge(held, part.arrived, fold_version(ZONE))

        if verdict.trouble is None:
            for one in part.arrived[verdict.skip :]:
                assert (one.revision, one.previous) == (at + 1, last)
                at, last = one.revision, one.id
