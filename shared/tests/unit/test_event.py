"""The codec: encode then decode is identity; invalid events are rejected in one line."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repair_events.event import (
    FACTS,
    PROFILE_CHANGED,
    REPAIR_FACTS,
    BadEventError,
    Event,
    EventData,
    decode,
    encode,
    event_type,
    fact_of,
)
from repair_events.ids import new_id
from repair_events.repair import Customer, Repair
from repair_events.status import STATUSES

ids = st.uuids(version=4).map(str)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
moments = st.datetimes().map(lambda moment: moment.isoformat() + "Z")
customer_ids = st.integers(1, 2**63 - 1)


@st.composite
def repairs(draw: st.DrawFn, customer_id: int) -> Repair:
    return Repair(
        repair_id=draw(ids),
        customer_id=customer_id,
        unit_number=draw(texts),
        repair_date=draw(moments),
        status=draw(st.sampled_from(STATUSES) | texts),
        description=draw(texts),
        damage_type=draw(texts),
        cost=draw(st.decimals(0, 10**9, places=2).map(str)),
        technician=draw(texts),
        customer_notes=draw(texts),
        technician_notes=draw(texts),
        requested_by=draw(st.sampled_from(["customer", "internal"])),
        batch_id=draw(st.none() | ids),
        source=draw(texts),
        source_ref=draw(st.none() | texts),
        removed=draw(st.booleans()),
    )


@st.composite
def events(draw: st.DrawFn) -> Event:
    customer_id, revision = draw(customer_ids), draw(st.integers(1, 2**63 - 1))
    fact = draw(st.sampled_from(FACTS))
    profile = Customer(customer_id=customer_id, name=draw(texts), email=draw(texts))
    data = EventData(
        customer_id=customer_id,
        revision=revision,
        previous=None if revision == 1 else draw(ids),
        occurred_at=draw(moments),
        actor=draw(texts),
        reason=draw(st.none() | texts),
        repair=None if fact == PROFILE_CHANGED else draw(repairs(customer_id)),
        customer=profile if fact == PROFILE_CHANGED else None,
    )
    return Event(
        id=draw(ids),
        source=draw(texts),
        type=event_type(fact),
        subject=draw(texts),
        time=draw(moments),
        data=data,
        traceparent=draw(st.none() | texts),
    )


def whole(**changes: Any) -> dict[str, Any]:
    """Return the JSON object of a valid event with top-level changes."""
    repair = Repair(
        repair_id=new_id(),
        customer_id=7,
        unit_number="U",
        repair_date="2026-01-01T00:00:00Z",
        status="PENDING",
        source="s",
    )
    data = EventData(
        customer_id=7,
        revision=2,
        previous=new_id(),
        occurred_at="2026-01-01T00:00:00Z",
        actor="internal:x",
        repair=repair,
    )
    event = Event(
        id=new_id(),
        source="s",
        type=event_type("recorded"),
        subject=repair.repair_id,
        time="2026-01-01T00:00:00Z",
        data=data,
    )
    found: dict[str, Any] = json.loads(encode(event))
    return found | changes


def with_data(**changes: Any) -> dict[str, Any]:
    event = whole()
    event["data"].update(changes)
    return event


@given(events())
def test_encode_then_decode_is_identity(event: Event) -> None:
    assert decode(encode(event)) == event


@given(events())
def test_an_encoded_event_is_one_line_of_utf8_json_with_its_constants(event: Event) -> None:
    payload = encode(event)
    assert b"\n" not in payload
    found = json.loads(payload.decode("utf-8"))
    assert found["specversion"] == "1.0"
    assert found["datacontenttype"] == "application/json"
    assert ("traceparent" in found) == (event.traceparent is not None)


@given(st.binary(max_size=60))
def test_random_bytes_are_refused_and_nothing_worse(payload: bytes) -> None:
    with pytest.raises(BadEventError):
        decode(payload)


@given(events(), st.data())
def test_an_event_that_was_cut_off_is_refused(event: Event, data: st.DataObject) -> None:
    payload = encode(event)
    with pytest.raises(BadEventError):
        decode(payload[: data.draw(st.integers(0, len(payload) - 1))])


@pytest.mark.parametrize(
    "event",
    [
        with_data(customer_id=0),
        with_data(customer_id=-7),
        with_data(customer_id="7"),
        with_data(customer_id=7.5),
        with_data(customer_id=True),
        with_data(customer_id=2**64),
        with_data(customer_id=8),
        with_data(revision=0),
        with_data(revision=1),
        with_data(revision=None),
        with_data(revision=2**64),
        with_data(previous=None),
        with_data(repair=None),
        with_data(repair=[]),
        with_data(customer={"customer_id": 7, "name": "x"}),
        with_data(actor=None),
        whole(specversion="0.3"),
        whole(specversion=1.0),
        whole(id=7),
        whole(data=None),
        whole(data={}),
        whole(time=0),
    ],
)
def test_an_event_with_one_wrong_value_is_refused_in_one_line(event: dict[str, Any]) -> None:
    with pytest.raises(BadEventError, match=r"^[^\n]+$"):
        decode(json.dumps(event).encode())


@pytest.mark.parametrize("field", ["id", "source", "type", "subject", "time", "data"])
def test_an_event_without_a_field_of_the_envelope_is_refused(field: str) -> None:
    event = whole()
    del event[field]
    with pytest.raises(BadEventError, match=field):
        decode(json.dumps(event).encode())


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"id": "\xed\xa0\x80"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 100_000,
        b"\x00",
    ],
)
def test_bytes_that_are_no_event_are_refused(payload: bytes) -> None:
    with pytest.raises(BadEventError):
        decode(payload)


def test_what_we_do_not_know_is_ignored_at_every_level() -> None:
    event = whole(dataschema="later", extension={"a": [1]})
    event["data"]["shop"] = "Joliet"
    event["data"]["repair"] |= {"warranty": {"months": 12}, "status": "AWAITING_GLASS"}
    decoded = decode(json.dumps(event).encode())
    assert decoded.data.repair is not None
    assert decoded.data.repair.status == "AWAITING_GLASS"


@pytest.mark.parametrize("fact", FACTS)
def test_a_fact_and_its_type_name_each_other(fact: str) -> None:
    noun = "repair" if fact in REPAIR_FACTS else "customer"
    assert event_type(fact) == f"com.rswindrepair.{noun}.{fact}.v1"
    assert fact_of(event_type(fact)) == (fact, 1)


def test_a_fact_and_a_major_version_that_we_do_not_know_are_told_apart() -> None:
    assert fact_of("com.rswindrepair.repair.photographed.v1") == ("photographed", 1)
    assert fact_of("com.rswindrepair.repair.recorded.v12") == ("recorded", 12)


@pytest.mark.parametrize(
    "type_",
    [
        "",
        "recorded",
        "com.rswindrepair.repair.recorded",
        "com.rswindrepair.repair.recorded.v0",
        "com.rswindrepair.repair.recorded.v01",
        "com.rswindrepair.repair.recorded.v1\n",
        "com.rswindrepair.repair.recorded.v1.2",
        "com.rswindrepair.invoice.recorded.v1",
        "COM.rswindrepair.repair.recorded.v1",
        "org.example.repair.recorded.v1",
        "com.rswindrepair.repair..v1",
        "com.rswindrepair.repair.recorded.v²",
        "x" * 100_000,
    ],
)
def test_a_type_of_somebody_else_is_refused_shortly(type_: str) -> None:
    with pytest.raises(BadEventError) as caught:
        fact_of(type_)
    assert len(str(caught.value)) < 200


def test_new_ids_are_different_ascend_and_are_of_version_seven() -> None:
    made = [new_id() for _ in range(1_000)]
    assert len(set(made)) == len(made)
    assert made == sorted(made)
    assert {(text[14], len(text)) for text in made} == {("7", 36)}
