"""Foreign text on a terminal: it controls nothing and hides nothing."""

import pytest

from service_runtime.terminal import printable


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("Müller 42 — 車", "Müller 42 — 車"),
        ("a [/x] b", "a [/x] b"),
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("two\r\nlines\u2028three", "two\\r\\nlines\\u2028three"),
        ("user\u202egnp.exe", "user\\u202egnp.exe"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("tag \U000e0041", "tag \\U000e0041"),
        ("half \ud800", "half \\ud800"),
    ],
)
def test_only_what_shows_itself_is_left_as_it_is(stored: str, shown: str) -> None:
    assert printable(stored) == shown
    assert printable(stored).isprintable()
