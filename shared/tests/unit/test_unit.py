import unicodedata
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repair_events.unit import MAX_TYPED_LENGTH, MAX_UNIT_LENGTH, normalise_unit


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
        ("a\u200db", "ab"),
        ("A1\u200b", "A1"),
        ("\ufeffA1", "A1"),
        ("A\u00ad1\u3164\u2800", "A1"),
        ("e\u034f\u0301", "\u00e9"),
        ("A \u200b 1", "A 1"),
        (" " * 75 + "x" * 50 + "\u200b" * 75, "x" * 50),
    ],
)
def test_a_unit_is_the_same_text_whichever_way_it_was_typed(typed: str, unit: str) -> None:
    assert normalise_unit(typed) == unit


@pytest.mark.parametrize(
    "text",
    [
        *("", "   ", "\t\n", "\u200b", " \ufeff\u3164\u2800\u115f\u1160\uffa0 ", "\u00ad"),
        *("x" * 51, "A\u202e1", "\u2066A1\u2069", "A1\u200f", "A1\u061c"),
        *("a" * 201, "a" + "\u0301\u0316" * 40_000),
        *("a\x00b", "a\x07b", "a\x7fb", "a\x85b\x9f", "\ud800", "a\x1bb"),
    ],
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


def test_a_refusal_names_the_character() -> None:
    with pytest.raises(ValueError, match=r"U\+202E \(RIGHT-TO-LEFT OVERRIDE\)"):
        normalise_unit("A\u202e1")


def test_nothing_is_normalised_that_is_longer_than_a_unit_may_be_typed(
    normalised: list[int],
) -> None:
    for text in ("a" + "\u0301\u0316" * 40_000, "\u0301" * 201, "a\u200b" * 1_000):
        with pytest.raises(ValueError, match="at most 50"):
            normalise_unit(text)
    assert normalise_unit("e\u0301" * 50) == "\u00e9" * 50
    assert normalised
    assert max(normalised) <= MAX_TYPED_LENGTH


@pytest.fixture
def normalised(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the lengths of all texts that are normalised from now on."""
    lengths: list[int] = []
    normalize = unicodedata.normalize

    def counted(form: Literal["NFC", "NFD", "NFKC", "NFKD"], text: str) -> str:
        lengths.append(len(text))
        return normalize(form, text)

    monkeypatch.setattr(unicodedata, "normalize", counted)
    return lengths
