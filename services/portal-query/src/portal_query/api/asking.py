"""Parameters of a list of repairs, each with a bound; an unknown parameter is an error.

The parameters of a page are its address: links and bookmarks carry them.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from portal_query.api.parameters import (
    DEFAULT_LIMIT,
    Reading,
    limit_of,
    pack_cursor,
    stored_unit,
    unpack_cursor,
)
from portal_query.document import State, Version
from portal_query.read_model.lists import Listed
from portal_query.read_model.repairs import (
    SORTS,
    PageWanted,
    Place,
    RepairFilter,
    Sort,
    SortKey,
)
from repair_events.moment import moment_of
from repair_events.status import STATUSES, is_status
from repair_events.text import clean_text
from repair_events.unit import normalise_unit
from service_runtime.clock import rfc3339

_MAX_TEXT: Final = 100
#: Characters as typed, before invisible characters are removed.
_MAX_TYPED: Final = 4 * _MAX_TEXT
_MONTH: Final = re.compile(r"(19|20|21)\d\d-(0[1-9]|1[0-2])", re.ASCII)
_DATE: Final = re.compile(r"(19|20|21)\d\d-\d\d-\d\d", re.ASCII)
_COST: Final = re.compile(r"\d{1,10}\.\d{2}", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_FIRST_YEAR, _LAST_YEAR = 1900, 2199


@dataclass(frozen=True, slots=True)
class Asked:
    """A requested page; `seen` is the version of the previous page."""

    page: PageWanted
    seen: Version | None


@dataclass(frozen=True, slots=True)
class Cursor:
    """Start of the next page, and the version at which the list was begun."""

    place: Place
    version: Version


def asked_of(parameters: Iterable[tuple[str, str]], customer_id: int, zone: ZoneInfo) -> Asked:
    """Parse the parameters of an address into a page; dates are days in `zone`.

    Raises Problem (400) naming every parameter that is unknown, repeated or unreadable.
    """
    reading = Reading(parameters)
    which, sort = _list(reading, zone)
    page = PageWanted(which, sort, None, reading.one("limit", limit_of) or DEFAULT_LIMIT)
    cursor = reading.one("cursor", lambda text: decode_cursor(text, customer_id, page))
    reading.finish()
    if cursor is None:
        return Asked(page, None)
    return Asked(replace(page, after=cursor.place), cursor.version)


def filter_of(parameters: Iterable[tuple[str, str]], zone: ZoneInfo) -> PageWanted:
    """Parse the parameters of an address into a whole list. Raises Problem (400)."""
    reading = Reading(parameters)
    which, sort = _list(reading, zone)
    reading.finish()
    return PageWanted(which, sort)


def _list(reading: Reading, zone: ZoneInfo) -> tuple[RepairFilter, Sort]:
    which = RepairFilter(
        statuses=reading.many("status", _status),
        unit=reading.one("unit", _unit),
        month=reading.one("month", _month),
        since=reading.one("from", lambda text: _midnight(_day(text), zone)),
        until=reading.one("to", lambda text: _midnight(_day(text) + timedelta(days=1), zone)),
        text=reading.one("q", _text),
    )
    if which.since and which.until and which.since >= which.until:
        reading.fault("to", "must not be before from")
    return which, reading.one("sort", _sort) or Sort()


def next_of(listed: Listed, asked: Asked, state: State, customer_id: int) -> str | None:
    """Return the cursor of the next page, None on the last page."""
    if listed.after is None:
        return None
    begun = asked.seen or state.version
    return encode_cursor(Cursor(listed.after, begun), customer_id, asked.page)


def encode_cursor(cursor: Cursor, customer_id: int, page: PageWanted) -> str:
    """Return the text of a cursor of this list; the page size may change between pages."""
    key = cursor.place.key
    text = rfc3339(key) if isinstance(key, datetime) else str(key)
    place = [text, str(cursor.place.repair_id)]
    return pack_cursor(customer_id, (page.which, page.sort), place, cursor.version)


def decode_cursor(text: str, customer_id: int, page: PageWanted) -> Cursor:
    """Parse a cursor. Raises ValueError, with a sentence, for a foreign cursor."""

    def place(key: str, repair_id: str) -> Place:
        return Place(_key(page.sort, key), UUID(repair_id))

    return Cursor(*unpack_cursor(text, customer_id, (page.which, page.sort), place))


def _status(text: str) -> str:
    if not is_status(text):
        raise ValueError(f"must be one of {', '.join(STATUSES)}")
    return text


def _unit(text: str) -> str:
    return normalise_unit(text)


def _month(text: str) -> str:
    if not _MONTH.fullmatch(text):
        raise ValueError("must be a month, written 2026-03")
    return text


def _day(text: str) -> date:
    if not _DATE.fullmatch(text):
        raise ValueError("must be a day, written 2026-03-31")
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ValueError("must be a day that exists, written 2026-03-31") from error


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone)


def _text(text: str) -> str:
    # Check the length first: cleaning a text may take quadratic time.
    cleaned = "" if len(text) > _MAX_TYPED else clean_text(text)
    if not 1 <= len(cleaned) <= _MAX_TEXT or _CONTROL.search(cleaned):
        raise ValueError(f"must be 1 to {_MAX_TEXT} characters, none of them a control character")
    return cleaned


def _sort(text: str) -> Sort:
    by = text.removeprefix("-")
    if by not in SORTS:
        raise ValueError(f"must be one of {', '.join(SORTS)}, with - in front for descending")
    return Sort(by, descending=text.startswith("-"))


def _key(sort: Sort, text: str) -> SortKey:
    if sort.by == "cost":
        if not _COST.fullmatch(text):
            raise ValueError(text[:10])
        return Decimal(text)
    if sort.by == "unit_number":
        return stored_unit(text)
    moment = moment_of(text)
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ValueError(text[:10])
    return moment
