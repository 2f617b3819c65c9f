"""Normalisation of text: one spelling for equal appearance, without invisible characters."""

import re
import unicodedata
from typing import Final

#: Code points with the property Default_Ignorable_Code_Point, as the inside of a character class.
#: Source: Unicode 17.0, DerivedCoreProperties.txt (4 174 code points; the same since Unicode 12).
_DEFAULT_IGNORABLE: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
#: Blanks outside Unicode's white space and ignorables: interlinear annotation, the blank Braille
#: pattern, blank hieroglyphs, the Khitan filler and the note without a head.
_BLANKS: Final = "\u2800\ufff9-\ufffb\U00013441\U00013442\U00016fe4\U0001d159"

#: All invisible characters, as the inside of a character class (Python and PostgreSQL alike).
INVISIBLE: Final = _DEFAULT_IGNORABLE + _BLANKS
_INVISIBLE: Final = re.compile(f"[{INVISIBLE}]+")
#: Bidi_Control of Unicode 17.0, PropList.txt.
_BIDI_CONTROL: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def clean_text(text: str) -> str:
    """Return the text without invisible characters, in NFC, trimmed, white space folded.

    The caller bounds the length of `text`: NFC takes quadratic time in the longest run of combining
    marks (UAX 15).
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
    return " ".join(text.split())


def find_bidi_control(text: str) -> str | None:
    """Return the first character that changes the direction of text, such as `U+202E (...)`."""
    found = _BIDI_CONTROL.search(text)
    if found is None:
        return None
    return f"U+{ord(found[0]):04X} ({unicodedata.name(found[0])})"
