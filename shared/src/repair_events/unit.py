"""What a unit number is: one text, whichever way a person typed it."""

import unicodedata
from typing import Final

MAX_UNIT_LENGTH: Final = 50


def normalise_unit(text: str) -> str:
    """Return the unit as it is counted: NFC, trimmed, inner white space folded, case kept.

    Raises ValueError with a sentence for a person when nothing is left, when it is longer than
    50 characters, or when it holds a control character (design, section 4).
    """
    unit = " ".join(unicodedata.normalize("NFC", text).split())
    if not unit:
        raise ValueError("A unit number must have at least one character that is not a space.")
    if len(unit) > MAX_UNIT_LENGTH:
        raise ValueError(
            f"A unit number has at most {MAX_UNIT_LENGTH} characters; this has {len(unit)}."
        )
    # Cc: control, Cs: half of a surrogate pair (no UTF-8), Zl and Zp are folded by split().
    # No printable character is one of these: nearly every unit is done with the first question.
    if not unit.isprintable() and any(
        unicodedata.category(character) in {"Cc", "Cs"} for character in unit
    ):
        raise ValueError("A unit number must not hold control characters.")
    return unit
