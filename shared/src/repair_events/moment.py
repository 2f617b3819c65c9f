"""Parsing of moments: RFC 3339 text with a valid offset."""

import re
from datetime import UTC, datetime
from typing import Final

MAX_LENGTH: Final = 40
# Python accepts an offset such as +14:60, which no clock has.
_MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
    r"(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)


def moment_of(text: str) -> datetime:
    """Return the moment of RFC 3339 text, in UTC.

    Raises ValueError, with the correct form, for another form, an offset beyond +-23:59, and a day
    or time that does not exist.
    """
    if len(text) > MAX_LENGTH or not _MOMENT.fullmatch(text):
        raise ValueError(
            "must be an RFC 3339 date and time with an offset between -23:59 and +23:59, "
            "such as 2026-03-01T14:30:00Z"
        )
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError("must be a date and time that exists") from error
