import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repair_events.text import INVISIBLE, clean_text, find_bidi_control

ODD = "\u00ad\u034f\u115f\u1160\u200b\u200d\u2060\u2800\u3164\ufe0f\ufeff\uffa0\U000e0041"
TEXTS = st.text(
    alphabet=st.one_of(
        st.sampled_from(f"aA1- \t\u00a0\u2003\u2028\u0301\u0316\u0327e\u00fcu\u0308\u1100{ODD}"),
        st.characters(codec="utf-8"),
    ),
    max_size=80,
)


@given(TEXTS)
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    cleaned = clean_text(text)
    assert clean_text(cleaned) == cleaned
    assert unicodedata.is_normalized("NFC", cleaned)


@given(TEXTS)
def test_a_cleaned_text_is_never_longer_than_its_normal_form_and_shows_each_end(text: str) -> None:
    cleaned = clean_text(text)
    assert len(cleaned) <= len(unicodedata.normalize("NFC", text))
    assert cleaned == cleaned.strip()
    assert not any(sign in cleaned for sign in ODD)


@given(st.text(alphabet="aA1-\u00fc", min_size=1, max_size=20), st.data())
def test_invisible_characters_anywhere_never_make_another_text(
    text: str, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(text)))
    odd = data.draw(st.sampled_from(ODD))
    assert clean_text(text[:place] + odd + text[place:]) == clean_text(text)
    assert clean_text(unicodedata.normalize("NFD", text)) == clean_text(text)


def test_the_table_of_invisible_characters_is_the_one_of_unicode() -> None:
    first, last, count = "", "", 0
    letters = iter(INVISIBLE)
    for letter in letters:
        if letter == "-":
            last = next(letters)
            count += ord(last) - ord(first)
        else:
            first = letter
            count += 1
    # DerivedCoreProperties.txt: "Total code points: 4174"; and eight blanks of ours.
    assert count == 4174 + 8


@pytest.mark.parametrize("sign", "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2069")
def test_what_changes_the_direction_of_text_is_named(sign: str) -> None:
    assert find_bidi_control(f"A{sign}1") == f"U+{ord(sign):04X} ({unicodedata.name(sign)})"
    assert find_bidi_control("A1 \u05d0\u05d1") is None
