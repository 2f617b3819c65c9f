from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal_query.api.asking import Asked, Cursor, asked_of, decode_cursor, encode_cursor
from portal_query.document import Version
from portal_query.read_model.lists import collecting, exporting, reaching, walking
from portal_query.read_model.repairs import (
    SORTS,
    PageWanted,
    Place,
    RepairFilter,
    Sort,
)
from service_runtime.errors import Problem

ZONE = ZoneInfo("America/Chicago")
ID = UUID(int=7)


def asked(*parameters: tuple[str, str]) -> Asked:
    return asked_of(parameters, 1, ZONE)


def faults(*parameters: tuple[str, str]) -> dict[str, str]:
    with pytest.raises(Problem) as refused:
        asked(*parameters)
    assert refused.value.status == 400
    return {error["parameter"]: error["detail"] for error in refused.value.errors}


def test_without_parameters_it_is_the_latest_fifty() -> None:
    assert asked() == Asked(PageWanted(RepairFilter(), Sort("repair_date", True), None, 50), None)


def test_days_are_days_of_the_portals_time_zone_and_the_last_is_included() -> None:
    which = asked(("from", "2026-03-08"), ("to", "2026-03-08")).page.which
    assert which.since == datetime(2026, 3, 8, 6, tzinfo=UTC)
    assert which.until == datetime(2026, 3, 9, 5, tzinfo=UTC)  # the clocks went forward


def test_everything_can_be_asked_at_once() -> None:
    page = asked(
        *(("status", "PENDING"), ("status", "APPROVED"), ("unit", "  A  1 "), ("month", "2026-01")),
        *(("q", " crack "), ("sort", "-cost"), ("limit", "200")),
    ).page
    assert page.which == RepairFilter(("PENDING", "APPROVED"), "A 1", "2026-01", text="crack")
    assert (page.sort, page.limit) == (Sort("cost", descending=True), 200)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("status", "pending"),
            ("status", ""),
            ("status", "DONE"),
            ("unit", ""),
            ("unit", "x" * 51),
        ),
        *(("unit", "a\x00b"), ("unit", "y" * 100_000), ("month", "2026-13"), ("month", "2026-1")),
        *(("month", "\u0662026-01"), ("from", "2026-02-30"), ("from", "1.2.2026"), ("to", "today")),
        *(
            ("to", "9999-12-31"),
            ("q", ""),
            ("q", "x" * 101),
            ("q", "a\x00"),
            ("sort", "technician"),
        ),
        *(("sort", "--cost"), ("sort", ""), ("limit", "0"), ("limit", "201"), ("limit", "-1")),
        *(("limit", "1e2"), ("limit", "\u0661"), ("cursor", ""), ("cursor", "x" * 601)),
        *(("cursor", "bm8"), ("customer_id", "2"), ("page", "2"), ("", "")),
    ],
)
def test_what_cannot_be_read_is_named(name: str, value: str) -> None:
    assert list(faults((name, value))) == [name]


def test_all_faults_are_named_at_once() -> None:
    assert set(faults(("limit", "x"), ("zzz", "1"), ("month", "0"))) == {"limit", "zzz", "month"}


def test_what_is_single_may_not_be_repeated() -> None:
    assert faults(("month", "2026-01"), ("month", "2026-02")) == {"month": "must be given once"}
    assert list(faults(*([("status", "PENDING")] * 21))) == ["status"]


def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    assert list(faults(("from", "2026-02-02"), ("to", "2026-02-01"))) == ["to"]


@given(
    st.sampled_from(
        [
            ("repair_date", datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)),
            ("changed_at", datetime(2026, 1, 2, tzinfo=UTC)),
            ("cost", Decimal("9999999999.99")),
            ("unit_number", "é A-1"),
        ]
    ),
    st.booleans(),
    st.uuids(),
    st.integers(0, 2**63 - 1),
)
def test_a_cursor_leads_back_to_its_place(
    key: tuple[str, datetime | Decimal | str], descending: bool, repair_id: UUID, n: int
) -> None:
    page = PageWanted(RepairFilter(text="x"), Sort(key[0], descending))
    cursor = Cursor(Place(key[1], repair_id), Version(n, n))
    text = encode_cursor(cursor, 1, page)
    assert decode_cursor(text, 1, page) == cursor
    assert decode_cursor(text, 1, replace(page, limit=7)) == cursor


def test_a_cursor_serves_its_own_list_of_its_own_customer_only() -> None:
    page = PageWanted(RepairFilter(unit="A1"))
    cursor = Cursor(Place(datetime(2026, 1, 1, tzinfo=UTC), ID), Version(1, 1))
    text = encode_cursor(cursor, 1, page)
    for customer_id, other in (
        (2, page),
        (1, PageWanted()),
        (1, replace(page, sort=Sort("changed_at"))),
    ):
        with pytest.raises(ValueError, match="another list"):
            decode_cursor(text, customer_id, other)


@given(st.text(max_size=700))
def test_no_text_can_be_a_cursor_by_accident(text: str) -> None:
    with pytest.raises(ValueError, match="is not one that this list has returned"):
        decode_cursor(text, 1, PageWanted())


@given(st.text(min_size=1, max_size=20), st.sampled_from(sorted(SORTS)))
def test_nothing_of_the_caller_is_in_a_statement(text: str, by: str) -> None:
    marked = f"\u2603{text}"
    which = RepairFilter((marked,), marked, "2026-01", text=marked)
    page = PageWanted(which, Sort(by), Place(marked, ID))
    for statement in (collecting, walking, reaching, exporting):
        sql, arguments = statement(1, page)
        assert "\u2603" not in sql
        assert sql.count("$") >= len(arguments)
        assert marked in arguments


def test_signs_of_a_pattern_are_only_signs() -> None:
    for statement in (collecting, walking, exporting):
        _, arguments = statement(1, PageWanted(RepairFilter(text=r"50%_\x")))
        assert r"50%_\x" in arguments
