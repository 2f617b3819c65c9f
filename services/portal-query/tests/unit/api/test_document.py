import json
from datetime import datetime, timedelta, timezone
from html import escape

from hypothesis import given
from hypothesis import strategies as st

from portal_query.document import (
    FROZEN_UNKNOWN,
    MONTHS,
    STATUS_LIST,
    UNITS,
    Counts,
    Version,
    escape_for_script,
    first_units,
    nothing_yet,
    render,
    render_in_steps,
    tag_of,
    version_of,
)
from repair_events.status import STATUSES

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50)
counts = st.integers(1, 2**53)
units = st.dictionaries(names, counts, max_size=30)
months = st.dictionaries(st.dates().map(lambda day: f"{day:%Y-%m}"), counts, max_size=30)
statuses = st.dictionaries(st.sampled_from(STATUSES), counts)


def of(units: dict[str, int], months: dict[str, int], statuses: dict[str, int]) -> Counts:
    return Counts(
        *(42, 3, 17, "e"),
        units=list(units.items()),
        months=list(months.items()),
        statuses=statuses,
    )


@given(units, months, statuses)
def test_bodies_are_what_json_dumps_writes_in_the_documents_order(
    units: dict[str, int], months: dict[str, int], statuses: dict[str, int]
) -> None:
    bodies = render(of(units, months, statuses)).bodies
    by_count = sorted(units, key=lambda unit: (-units[unit], unit))
    assert bodies[UNITS] == (
        json.dumps([{"unit_number": one, "repair_count": units[one]} for one in by_count]).encode()
    )
    assert bodies[MONTHS] == (
        json.dumps([{"date": one, "count": months[one]} for one in sorted(months)]).encode()
    )
    assert bodies[STATUS_LIST] == (
        json.dumps([{"status": one, "count": statuses.get(one, 0)} for one in STATUSES]).encode()
    )


@given(units)
def test_equal_counts_are_in_the_order_of_code_points(units: dict[str, int]) -> None:
    listed = json.loads(render(of(dict.fromkeys(units, 1), {}, {})).bodies[UNITS])
    written = [row["unit_number"].encode("utf-8") for row in listed]
    assert written == sorted(written)  # in the order of COLLATE "C"


@given(units, st.integers(1, 31))
def test_the_first_units_are_those_of_the_whole_list(units: dict[str, int], most: int) -> None:
    body = render(of(units, {}, {})).bodies[UNITS]
    listed = json.loads(body)
    assert first_units(body, most) == (listed[:most], len(listed))


def test_a_name_that_looks_like_the_end_of_a_unit_is_no_end() -> None:
    names = {'}, {"unit_number": "': 3, '"}, {"unit_number": ': 2, "\\": 1}
    body = render(of(names, {}, {})).bodies[UNITS]
    assert first_units(body, 1) == ([{"unit_number": '}, {"unit_number": "', "repair_count": 3}], 3)


def test_a_long_list_is_the_same_in_parts() -> None:
    many = {f"U{n}": 7 for n in range(2_500)}
    assert [one is None for one in render_in_steps(of(many, {}, {}))] == [True, True, True, False]
    listed = json.loads(render(of(many, {}, {})).bodies[UNITS])
    assert [row["unit_number"] for row in listed] == sorted(many)


@given(units)
def test_a_body_in_a_script_cannot_end_it_and_reads_the_same(units: dict[str, int]) -> None:
    body = render(of(units, {}, {})).bodies[UNITS]
    text = escape_for_script(body)
    assert not set("<>&") & set(text)
    assert json.loads(text) == json.loads(body)


def test_the_escape_is_that_of_djangos_json_script() -> None:
    body = json.dumps("</script><b>&'\"\u2028").encode()
    assert escape_for_script(body) == (
        r'"\u003C/script\u003E\u003Cb\u003E\u0026' + "'" + r'\"\u2028"'
    )
    assert escape("<") not in escape_for_script(body)


def test_nothing_is_three_lists_and_no_invented_month() -> None:
    document = render(nothing_yet(42))
    assert document.bodies[UNITS] == b"[]" == document.bodies[MONTHS]
    assert json.loads(document.bodies[STATUS_LIST]) == [
        {"status": status, "count": 0} for status in STATUSES
    ]
    assert document.tag == "42.0.0.none"


def test_a_tag_names_customer_refold_revision_and_event() -> None:
    tags = {
        tag_of(customer, refold, revision, event)
        for customer in (1, 2)
        for refold in (1, 2)
        for revision in (1, 2)
        for event in ("a", "b", None)
    }
    assert len(tags) == 24
    assert version_of(tag_of(42, 1_790_000_000_000, 17, "a.b")) == Version(1_790_000_000_000, 17)


def test_a_higher_refold_is_newer_whatever_its_revision() -> None:
    assert Version(2, 1) > Version(1, 99) > Version(1, 98)
    assert render(of({}, {}, {})).version == Version(3, 17)


def test_a_standing_customer_says_since_when_if_that_is_known() -> None:
    moment = datetime(2026, 3, 1, 6, 0, tzinfo=timezone(timedelta(hours=-6)))
    assert render(Counts(1, 1, 1, "e")).frozen == ""
    assert render(Counts(1, 1, 1, "e", frozen=True)).frozen == FROZEN_UNKNOWN
    stood = render(Counts(1, 1, 1, "e", frozen=True, frozen_as_of=moment))
    assert datetime.fromisoformat(stood.frozen) == moment
