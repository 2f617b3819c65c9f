"""Untrusted stored text, made safe for an operator's terminal."""

import unicodedata
from typing import Final

#: Controls, format characters (with bidi), surrogates, private use, unassigned, and the two line
#: separators: each could control the terminal or hide text.
_ESCAPED: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def printable(text: str) -> str:
    """Return the text on one line, with an escape sequence for every invisible character.

    Markup of `rich` is unchanged: pass the result as a `rich.text.Text`.
    """
    return "".join(
        letter.encode("unicode_escape").decode()
        if unicodedata.category(letter) in _ESCAPED
        else letter
        for letter in text
    )
