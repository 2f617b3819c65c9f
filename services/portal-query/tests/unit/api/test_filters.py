from urllib.parse import parse_qsl, urlsplit

import pytest

from portal_query.api.pages.filters import ListAddress, sentence_of
from portal_query.read_model.repairs import Sort

EVERY = [
    ("status", "PENDING"),
    ("status", "DENIED"),
    ("unit", "A 12&3"),
    ("month", "2026-03"),
    ("from", "2026-03-01"),
    ("to", "2026-03-31"),
    ("q", "<b>"),
    ("sort", "-cost"),
]


def query(address: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(address).query)


def test_what_a_form_left_empty_asks_nothing() -> None:
    address = ListAddress([("status", "PENDING"), ("unit", ""), ("q", "  ")])
    assert address.asked == [("status", "PENDING")]
    assert address.here == "/customer/repairs/?status=PENDING"


def test_the_page_alone_knows_what_was_seen_and_how_it_is_shown() -> None:
    address = ListAddress([("seen", "7"), ("view", "print"), ("unit", "A1")])
    assert (address.seen, address.is_sheet) == ("7", True)
    assert address.asked == [("unit", "A1")]


def test_each_chip_removes_its_filter_and_no_other() -> None:
    address = ListAddress([*EVERY, ("cursor", "c"), ("limit", "10")])
    chips = address.chips()
    assert [chip.text for chip in chips] == [
        "Waiting for you",
        "Denied",
        "Unit A 12&3",
        "March 2026",
        "From Mar 1, 2026",
        "Until Mar 31, 2026",
        "“<b>”",
    ]
    for pair, chip in zip(EVERY, chips, strict=False):
        assert query(chip.without) == [one for one in EVERY if one != pair]


def test_the_file_and_the_sheet_hold_the_whole_list_from_its_beginning() -> None:
    address = ListAddress([*EVERY, ("cursor", "c"), ("limit", "10"), ("seen", "3")])
    assert query(address.export) == EVERY
    assert urlsplit(address.export).path == "/customer/api/repairs/export.csv"
    assert query(address.sheet) == [*EVERY, ("view", "print")]


def test_the_next_page_keeps_all_but_the_place() -> None:
    address = ListAddress([("unit", "A1"), ("limit", "10"), ("cursor", "old")])
    assert query(address.after("new")) == [("unit", "A1"), ("limit", "10"), ("cursor", "new")]


@pytest.mark.parametrize(
    ("now", "column", "leads_to", "said"),
    [
        (Sort("repair_date"), "repair_date", "repair_date", "descending"),
        (Sort("cost", descending=False), "cost", "-cost", "ascending"),
        (Sort("cost"), "unit_number", "unit_number", None),
        (Sort("unit_number", descending=False), "changed_at", "-changed_at", None),
    ],
)
def test_a_heading_sorts_and_says_how(
    now: Sort, column: str, leads_to: str, said: str | None
) -> None:
    heading = ListAddress([("unit", "A1"), ("cursor", "c")]).headings(now)[column]
    assert query(heading.address) == [("unit", "A1"), ("sort", leads_to)]
    assert heading.sorted == said


def test_the_filters_are_said_in_words() -> None:
    assert sentence_of(ListAddress([("sort", "cost")])) == ""
    assert sentence_of(ListAddress(EVERY)) == (
        "Waiting for you or Denied, unit A 12&3, March 2026, from Mar 1, 2026, "
        "until Mar 31, 2026, “<b>”"
    )
