"""Month of a repair: its date on the wall calendar of the portal's time zone."""

from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from repair_events.moment import moment_of

#: Increases when the rule below changes, so that every customer is rebuilt.
RULE_VERSION: Final = 1

#: Dates repeat often within a fleet; a full cache is emptied, which costs little.
_CACHE_SIZE: Final = 10_000
#: On these days of the month every time zone has the same month, at any time of day.
_FIRST_CLEAR_DAY: Final = 2
_LAST_CLEAR_DAY: Final = 27


class UnknownTimeZoneError(ValueError):
    """The name is missing from the IANA time zone database."""


def time_zone(name: str) -> ZoneInfo:
    """Return the time zone of an IANA name such as `America/Chicago`.

    Raises UnknownTimeZoneError for any other name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UnknownTimeZoneError(
            f"{name!r} is no IANA time zone name; an example is America/Chicago."
        ) from error


def fold_version(name: str) -> str:
    """Return the name of the counting rule; a customer counted by another one needs a rebuild."""
    return f"{RULE_VERSION}:{name}"


class Months:
    """Months in one time zone, cached by the text of the date."""

    def __init__(self, time_zone_name: str) -> None:
        self._zone = time_zone(time_zone_name)
        self._seen: dict[str, str] = {}

    def month_of(self, moment: str | datetime) -> str:
        """Return `YYYY-MM` of a moment (RFC 3339 text with an offset, or an aware datetime).

        Raises ValueError for text that is not such a moment, and for a moment without an offset.
        """
        if isinstance(moment, datetime):
            return self._month(moment)
        month = self._seen.get(moment)
        if month is None:
            month = self._month(moment_of(moment))
            if len(self._seen) >= _CACHE_SIZE:
                self._seen.clear()
            self._seen[moment] = month
        return month

    def _month(self, moment: datetime) -> str:
        if moment.tzinfo is UTC and _FIRST_CLEAR_DAY <= moment.day <= _LAST_CLEAR_DAY:
            return f"{moment.year:04d}-{moment.month:02d}"
        if moment.tzinfo is None:
            raise ValueError(f"{moment.isoformat()} has no offset from UTC.")
        local = moment.astimezone(self._zone)
        return f"{local.year:04d}-{local.month:02d}"
