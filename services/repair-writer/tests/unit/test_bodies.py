import json
import tracemalloc
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repair_events.event import Event, EventData, encode, event_type
from repair_events.topic import MAX_EVENT_BYTES
from repair_writer.bodies import (
    BadBodyError,
    Body,
    Correction,
    ImportedRepair,
    NewRepair,
    NewStatus,
    Profile,
    Removal,
    Restoration,
    parse,
)
from repair_writer.customer_bodies import (
    CustomersDecision,
    ManyDecisions,
    ProfilePatch,
    Visit,
)
from repair_writer.fields import bounds_at, cost_text
from repair_writer.repair import ChangeStatus, Correct, Remove, Restore

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BOUNDS = bounds_at(NOW)
REPAIR = {"customer_id": 7, "unit_number": "A1", "repair_date": "2026-02-01T00:00:00Z"}


def read(model: type[Body], body: Any) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse(model, data, BOUNDS)


def faults(model: type[Body], body: Any) -> dict[str, str]:
    with pytest.raises(BadBodyError) as caught:
        read(model, body)
    return {error["pointer"]: error["detail"] for error in caught.value.errors}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("customer_id", 0),
        ("customer_id", -1),
        ("customer_id", 2**63),
        ("customer_id", "7"),
        ("customer_id", True),
        ("customer_id", 7.5),
        ("customer_id", None),
        ("unit_number", ""),
        ("unit_number", "  \u00a0 "),
        ("unit_number", "x" * 51),
        ("unit_number", "A\u0000"),
        ("unit_number", "A\u0007"),
        ("unit_number", 12),
        ("repair_date", "2026-02-01"),
        ("repair_date", "2026-02-01T00:00:00"),
        ("repair_date", "2026-02-30T00:00:00Z"),
        ("repair_date", "2026-02-01 00:00:00Z"),
        ("repair_date", "1989-12-31T23:59:59Z"),
        ("repair_date", "2027-03-03T00:00:00Z"),
        ("repair_date", "0001-01-01T00:00:00+10:00"),
        ("repair_date", 1_770_000_000),
        ("repair_date", "1770000000"),
        ("status", "DONE"),
        ("status", "pending"),
        ("status", None),
        ("description", "x" * 4_001),
        ("description", "a\u0000b"),
        ("description", "a\u001bb"),
        ("description", None),
        ("damage_type", "two\nlines"),
        ("damage_type", "x" * 101),
        ("cost", "-1"),
        ("cost", -0.01),
        ("cost", "1.234"),
        ("cost", 1.234),
        ("cost", "10000000000"),
        ("cost", "1e3"),
        ("cost", "NaN"),
        ("cost", ""),
        ("cost", "12,50"),
        ("cost", True),
        ("cost", None),
        ("cost", []),
        ("technician", "x" * 101),
        ("customer_notes", "x" * 4_001),
        ("technician_notes", "\u0085"),
        ("requested_by", "nobody"),
        ("batch_id", "not-a-uuid"),
        ("batch_id", 5),
        ("source", ""),
        ("source", "x" * 101),
        ("source", "   "),
        ("source_ref", ""),
        ("source_ref", "x" * 201),
        ("occurred_at", "2026-03-03T00:00:00Z"),
        ("occurred_at", "yesterday"),
        ("surprise", 1),
        ("repair_id", "01970f4e-7a3c-7cc0-8000-2f4d7a6c1b9e"),
        ("removed", False),
    ],
)
def test_a_field_beyond_its_bounds_is_named(name: str, value: object) -> None:
    assert list(faults(NewRepair, REPAIR | {name: value})) == [f"/{name}"]


@pytest.mark.parametrize("name", ["customer_id", "unit_number", "repair_date"])
def test_a_missing_field_is_named(name: str) -> None:
    body = {key: value for key, value in REPAIR.items() if key != name}
    assert faults(NewRepair, body) == {f"/{name}": "This field is required."}


def test_all_bad_fields_are_named_at_once() -> None:
    bad = REPAIR | {"cost": "-1", "unit_number": "", "a/b~c": 1}
    assert set(faults(NewRepair, bad)) == {"/cost", "/unit_number", "/a~1b~0c"}


def test_many_bad_fields_make_no_endless_answer() -> None:
    assert len(faults(NewRepair, {f"x{number}": 1 for number in range(400)})) == 100


@pytest.mark.parametrize(
    "body",
    [
        {f"x{number}": 1 for number in range(5_000)},
        {"repairs": [{"x": 1}] * 25_000},
        {"unit_number": [1] * 100_000},
        {"unit_number": [[]] * 80_000},
    ],
)
def test_more_members_than_any_body_has_are_refused_before_anything_is_built(body: Any) -> None:
    data = json.dumps(body).encode()
    tracemalloc.start()
    try:
        with pytest.raises(BadBodyError, match="more than 500 members"):
            read(NewRepair, data)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


values = st.recursive(
    st.none() | st.integers() | st.text(',[]{}":\\ \n') | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(',[{"\\ '), inner),
)


def members(value: object) -> int:
    if not isinstance(value, dict | list):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return sum(1 + members(one) for one in inner)


@given(values, st.sampled_from([None, 2]), st.integers(-1, 1))
def test_exactly_500_members_are_read(value: object, indent: int | None, more: int) -> None:
    filled = [value, *["[{,"] * (499 + more - members(value))]
    assert members(filled) == max(500 + more, 1 + members(value))
    refused = members(filled) > 500
    with pytest.raises(BadBodyError) as caught:  # a list is no body here
        read(NewRepair, json.dumps(filled, indent=indent).encode())
    assert ("more than 500 members" in caught.value.detail) == refused


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (NewRepair, b'{"customer_id": 7, "customer_id": 8}'),
        (NewStatus, b'{"status": "APPROVED", "status": "DENIED"}'),
        (NewStatus, b'{"status": "no", "stat\\u0075s": "DENIED"}'),
        (Visit, b'{"unit_number": "A1", "breaks": [{"description": "a", "description": "b"}]}'),
        (ManyDecisions, b'{"status": "APPROVED", "repairs": [{"etag": "a", "etag": "a"}]}'),
        (ProfilePatch, b'{"city": "Joliet", "city": "Joliet"}'),
    ],
)
def test_a_key_that_is_given_twice_is_no_json_of_ours(model: type[Body], data: bytes) -> None:
    with pytest.raises(BadBodyError, match=r"gives the key .+ twice") as caught:
        read(model, data)
    assert caught.value.errors == []


@pytest.mark.parametrize("offset", ["+14:60", "+24:00", "-00:99", "+99:99"])
@pytest.mark.parametrize("name", ["repair_date", "occurred_at"])
def test_an_offset_that_does_not_exist_is_named(name: str, offset: str) -> None:
    body = REPAIR | {name: f"2026-02-01T14:30:00{offset}"}
    assert "between -23:59 and +23:59" in faults(NewRepair, body)[f"/{name}"]


def test_a_unit_that_shows_nothing_or_reverses_text_is_named() -> None:
    assert "can be seen" in faults(NewRepair, REPAIR | {"unit_number": "\u200b"})["/unit_number"]
    assert "U+202E" in faults(NewRepair, REPAIR | {"unit_number": "A\u202e1"})["/unit_number"]
    assert read(NewRepair, REPAIR | {"unit_number": "\ufeffA\u200b1"}).unit_number == "A1"


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"\xff\xfe", b'{"a":"\\ud800"}', b"[" * 5_000, b"{}{}", b"nul", b'{"a":1}x'],
)
def test_what_is_no_json_is_refused_without_fields(data: bytes) -> None:
    assert faults(NewRepair, data) == {}


@pytest.mark.parametrize("data", [b"[]", b"null", b"1", b'"text"'])
def test_json_that_is_no_object_is_refused(data: bytes) -> None:
    assert faults(NewRepair, data) == {"": "The body must be a JSON object."}


@pytest.mark.parametrize(
    ("given_", "text"),
    [("0", "0.00"), ("12.5", "12.50"), (12, "12.00"), (12.5, "12.50"), ("007", "7.00"),
     ("9999999999.99", "9999999999.99"), (0.1, "0.10")],
)  # fmt: skip
def test_a_cost_has_one_text(given_: object, text: str) -> None:
    assert cost_text(given_) == text


@given(st.decimals(min_value=0, max_value="9999999999.99", places=2))
def test_every_cost_in_bounds_is_kept_to_the_cent(cost: Any) -> None:
    assert cost_text(str(cost)) == f"{cost:.2f}"


def test_values_get_their_one_text() -> None:
    body = read(
        NewRepair,
        REPAIR
        | {
            "unit_number": "  A\u00a0 1 ",
            "repair_date": "2026-02-01T01:30:00.500+01:30",
            "batch_id": "01970F4E-7A3C-7CC0-8000-2F4D7A6C1B9E",
        },
    )
    assert body.unit_number == "A 1"
    assert body.repair_date == "2026-02-01T00:00:00.500000Z"
    assert body.batch_id == "01970f4e-7a3c-7cc0-8000-2f4d7a6c1b9e"


def test_the_edges_of_the_dates_are_accepted() -> None:
    for edge in ("1990-01-01T00:00:00Z", "2027-03-01T12:00:00Z"):
        assert read(NewRepair, REPAIR | {"repair_date": edge}).repair_date == edge


def test_the_largest_event_stays_below_its_bound() -> None:
    long = "\U0001f69a" * 4_000
    body = read(
        NewRepair,
        REPAIR
        | {
            "customer_id": 2**63 - 1,
            "unit_number": "\U0001f69a" * 50,
            "description": long,
            "customer_notes": long,
            "technician_notes": long,
            "damage_type": "\U0001f69a" * 100,
            "technician": "\U0001f69a" * 100,
            "source": "\U0001f69a" * 100,
            "source_ref": "\U0001f69a" * 200,
        },
    )
    reason = read(Removal, {"reason": "\U0001f69a" * 1_000}).reason
    one = "01970f4e-7a3c-7cc0-8000-2f4d7a6c1b9e"
    event = Event(
        id=one,
        source="x" * 100,
        type=event_type("status-changed"),
        subject=one,
        time="2026-03-01T14:31:07.482913Z",
        traceparent="0" * 55,
        data=EventData(
            customer_id=2**63 - 1,
            revision=2**63 - 1,
            previous=one,
            occurred_at="2026-03-01T14:31:07.482913Z",
            actor="customer:" + "\U0001f69a" * 150,
            reason=reason,
            repair=body.to_repair(one, "x"),
        ),
    )
    assert len(encode(event)) < MAX_EVENT_BYTES


def test_a_correction_says_only_what_is_given() -> None:
    command = read(Correction, {"cost": 3, "reason": "typo"}).command()
    assert command == Correct(given={"cost": "3.00"}, reason="typo")


def test_a_correction_cannot_change_status_or_reference() -> None:
    bad = {"status": "COMPLETED", "source": "x", "source_ref": "y", "requested_by": "customer"}
    assert set(faults(Correction, bad)) == {f"/{name}" for name in bad}


def test_each_change_is_the_command_that_it_says() -> None:
    assert read(NewStatus, {"status": "APPROVED", "reason": "r"}).command() == ChangeStatus(
        status="APPROVED", reason="r"
    )
    assert read(Removal, {"reason": "r"}).command() == Remove(reason="r")
    assert read(Restoration, {}).command() == Restore()


def test_a_profile_is_whole_and_a_patch_changes_what_it_names() -> None:
    customer = read(Profile, {"name": "Fleet", "city": "Baraboo"}).to_customer(7)
    assert (customer.customer_id, customer.city, customer.email) == (7, "Baraboo", "")
    changed = read(ProfilePatch, {"email": "a@b.example"}).changes()(customer)
    assert (changed.email, changed.city) == ("a@b.example", "Baraboo")


def test_a_removal_needs_a_reason() -> None:
    assert faults(Removal, {}) == {"/reason": "This field is required."}
    assert list(faults(Removal, {"reason": "  "})) == ["/reason"]


def test_a_status_is_one_of_six() -> None:
    assert list(faults(NewStatus, {"status": "LOST"})) == ["/status"]


def test_a_line_of_an_import_needs_its_reference_and_states_what_it_names() -> None:
    assert "/source_ref" in faults(ImportedRepair, REPAIR)
    line = read(ImportedRepair, REPAIR | {"source_ref": "1", "occurred_at": "2026-02-01T00:00:00Z"})
    assert set(line.given()) == set(REPAIR)


def test_a_customer_says_little() -> None:
    for name in ("cost", "status", "technician", "customer_id", "source", "technician_notes"):
        visit = {"unit_number": "A1", "breaks": [{"damage_type": "chip"}], name: "x"}
        assert list(faults(Visit, visit)) == [f"/{name}"]
    assert list(faults(CustomersDecision, {"status": "COMPLETED"})) == ["/status"]
    assert list(faults(ProfilePatch, {"name": "Mine now"})) == ["/name"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("name", ""), ("name", "x" * 201), ("email", "nobody"), ("phone", "1\n2"), ("city", 5),
     ("address", "x" * 501), ("postal_code", "x" * 21), ("state", None), ("id", 1)],
)  # fmt: skip
def test_a_profile_has_bounds(name: str, value: object) -> None:
    assert list(faults(Profile, {"name": "Fleet"} | {name: value})) == [f"/{name}"]


@given(st.dictionaries(st.sampled_from([*REPAIR, "cost", "status", "x"]), st.text() | st.none()))
def test_whatever_comes_is_read_or_refused_with_names(body: dict[str, Any]) -> None:
    try:
        read(NewRepair, body)
    except BadBodyError as error:
        assert error.errors  # noqa: PT017 - either way is right


def test_a_day_of_a_visit_is_that_day_in_every_zone_of_the_portal() -> None:
    visit = read(
        Visit, {"unit_number": "A1", "repair_date": "2026-03-01", "breaks": [{"damage_type": "x"}]}
    )
    assert visit.repair_date is not None
    noon = datetime.fromisoformat(visit.repair_date)
    days = {
        noon.astimezone(ZoneInfo(zone)).date()
        for zone in ("America/Chicago", "Pacific/Honolulu", "Europe/Berlin")
    }
    assert days == {date(2026, 3, 1)}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("2026-02-30", "must be a day that exists"),
        ("1.3.2026", "must be a date such as 2026-03-01"),
        ("2026-3-1", "must be a date such as 2026-03-01"),
        ("1989-12-31", "must lie between 1990-01-01 and"),
        ("9999-12-31", "must lie between 1990-01-01 and"),
    ],
)
def test_a_day_written_by_hand_is_told_how_to_be_written(written: str, said: str) -> None:
    body = {"unit_number": "A1", "repair_date": written, "breaks": [{"damage_type": "x"}]}
    found = faults(Visit, body)
    assert list(found) == ["/repair_date"]
    assert found["/repair_date"].startswith(said)


def test_what_a_form_lacks_is_named() -> None:
    known = "01970f4e-7a3c-7cc0-8000-2f4d7a6c1b9e"
    seen = {"repair_id": known, "etag": known}

    assert faults(ManyDecisions, {"status": "DONE", "repairs": []}) == {
        "/status": "must be 'APPROVED' or 'DENIED'",
        "/repairs": "must name at least one repair",
    }
    assert faults(ManyDecisions, {"status": "DENIED", "repairs": [seen] * 101}) == {
        "/repairs": "must name at most 100 repairs"
    }
    assert faults(Visit, {"unit_number": "A1", "breaks": []}) == {
        "/breaks": "must name at least one break"
    }
