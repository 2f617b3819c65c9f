import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repair_events.unit import MAX_UNIT_LENGTH, normalise_unit


@pytest.mark.parametrize(
    ("typed", "unit"),
    [
        ("TRK-1", "TRK-1"),
        ("  TRK-1\t", "TRK-1"),
        ("TRK \t\n  1", "TRK 1"),
        ("trk 1", "trk 1"),
        ("TRK\u00a0\u20031", "TRK 1"),
        ("TRK\u2028\u20291", "TRK 1"),
        ("Cafe\u0301", "Café"),
        ("\u212b", "Å"),
        ("x" * 50, "x" * 50),
        (" " + "x" * 50 + " ", "x" * 50),
        ("🚚 7", "🚚 7"),
        ("0007", "0007"),
        ("a\u200db", "a\u200db"),
    ],
)
def test_a_unit_is_the_same_text_whichever_way_it_was_typed(typed: str, unit: str) -> None:
    assert normalise_unit(typed) == unit


@pytest.mark.parametrize(
    "text",
    ["", "   ", "\t\n", "x" * 51, "a\x00b", "a\x07b", "a\x7fb", "a\x85b\x9f", "\ud800", "a\x1bb"],
)
def test_what_cannot_be_a_unit_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"^A unit number .*\.$"):
        normalise_unit(text)


@given(st.text(max_size=80))
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    try:
        unit = normalise_unit(text)
    except ValueError:
        return
    assert normalise_unit(unit) == unit
    assert unit == unit.strip()
    assert unicodedata.is_normalized("NFC", unit)
    assert 1 <= len(unit) <= MAX_UNIT_LENGTH
    assert "  " not in unit
    unit.encode("utf-8")


@given(st.text(alphabet="aA1-é ", min_size=1, max_size=20), st.sampled_from([" ", "\t", "\u3000"]))
def test_white_space_around_and_between_never_makes_another_unit(text: str, space: str) -> None:
    try:
        unit = normalise_unit(text)
    except ValueError:
        return
    assert normalise_unit(space + unit.replace(" ", space * 3) + space) == unit
    assert normalise_unit(unicodedata.normalize("NFD", unit)) == unit
