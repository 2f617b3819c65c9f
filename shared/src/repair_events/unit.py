"""Normalisation of unit numbers: one text for each unit, however a person typed it."""

import unicodedata
from typing import Final

from repair_events.text import clean_text, find_bidi_control

MAX_UNIT_LENGTH: Final = 50
#: Characters as typed: white space, decomposed letters and invisible characters included.
MAX_TYPED_LENGTH: Final = 4 * MAX_UNIT_LENGTH


def normalise_unit(text: str) -> str:
    """Return the unit as it is counted: NFC, trimmed, inner white space folded, case kept.

    Invisible characters are removed.
    Raises ValueError, with a sentence for a person, for:
    - a unit without a visible character,
    - more than 200 characters typed or 50 left,
    - a control character,
    - a character that changes the direction of text.
    """
    if len(text) > MAX_TYPED_LENGTH:
        raise _too_long(len(text))
    bidi_control = find_bidi_control(text)
    if bidi_control is not None:
        raise ValueError(
            f"A unit number must not hold {bidi_control}, which changes the direction of text."
        )
    unit = clean_text(text)
    if not unit:
        raise ValueError("A unit number must have at least one character that can be seen.")
    if len(unit) > MAX_UNIT_LENGTH:
        raise _too_long(len(unit))
    # Cc: control, Cs: half of a surrogate pair (no UTF-8); split() folds Zl and Zp. No printable
    # character is one of these, so the first test is enough for nearly every unit.
    if not unit.isprintable() and any(
        unicodedata.category(character) in {"Cc", "Cs"} for character in unit
    ):
        raise ValueError("A unit number must not hold control characters.")
    return unit


def _too_long(length: int) -> ValueError:
    return ValueError(f"A unit number has at most {MAX_UNIT_LENGTH} characters; this has {length}.")
