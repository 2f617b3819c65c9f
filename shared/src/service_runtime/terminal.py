"""Text that strangers have stored, shown on an operator's terminal."""

import unicodedata
from typing import Final

#: Controls, format characters (bidi among them), halves of surrogates, private use, unassigned,
#: and the two separators that end a line: each would steer the terminal or hide what stands there.
_ESCAPED: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def printable(text: str) -> str:
    """Return the text with an escape sequence for every character that does not show itself.

    What the terminal gets has one line. Markup of `rich` is no character: give it a `rich.text.Text`.
    """
    return "".join(
        letter.encode("unicode_escape").decode()
        if unicodedata.category(letter) in _ESCAPED
        else letter
        for letter in text
    )
