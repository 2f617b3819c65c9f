"""No part of an exported text is a formula, for any separator of the spreadsheet."""

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal_query.api.export import harmless
from repair_events.text import INVISIBLE

SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20"
SHOWS_NOTHING = re.compile(f'[\\s\\x00-\\x1f\\x7f"{INVISIBLE}]*')


@pytest.mark.parametrize(
    ("text", "exported"),
    [
        ("=1+1", "'=1+1"),
        ("\uff1d1", "'\uff1d1"),
        ("\tx", "'\tx"),
        ("ordinary;=1+1", "ordinary;'=1+1"),
        ("ordinary; \u00a0=1+1", "ordinary;' \u00a0=1+1"),
        ("ordinary\t@SUM(A1)", "ordinary\t'@SUM(A1)"),
        ("line\n-1", "line\n'-1"),
        (" =1", "' =1"),
        ("\u00a0=1", "'\u00a0=1"),
        ("\ufeff=1", "'\ufeff=1"),
        ("\u200b\u2060+1", "'\u200b\u2060+1"),
        ('a;"=1', "a;'\"=1"),
        ("a - b; c = d", "a - b; c = d"),
        ("'=1", "'=1"),
        ("", ""),
    ],
)
def test_an_apostrophe_goes_in_front_of_a_formula(text: str, exported: str) -> None:
    assert harmless(text) == exported


@given(
    st.text(alphabet=f'a1;, \t\r\n"\u00a0\u200b\ufeff\u3000{SIGNS}', max_size=30),
    st.sampled_from([";", "\t", ","]),
)
def test_no_cell_of_an_exported_text_begins_with_a_sign(text: str, separator: str) -> None:
    line = io.StringIO(newline="")
    csv.writer(line).writerow(["id", harmless(text), "end"])
    for row in csv.reader(io.StringIO(line.getvalue(), newline=""), delimiter=separator):
        for cell in row:
            begun = cell[SHOWS_NOTHING.match(cell).end() :]  # type: ignore[union-attr]
            assert begun[:1] not in SIGNS or begun == "", (cell, line.getvalue())
    assert harmless(harmless(text)) == harmless(text)


def test_a_text_is_looked_at_once() -> None:
    # A pattern that restarts at each sign would need minutes for these.
    for worst in (" ", ";", "; ", "\t", "\u200b", '"', "\u200b;"):
        text = worst * (400_000 // len(worst))
        assert harmless(f"{text}x") in (f"{text}x", f"'{text}x")
