"""What a list of repairs may be asked for: every parameter has a bound, and an unknown one a name.

The parameters of a page are its address: they stand in links and come back from colleagues. A
cursor is opaque to callers and is not trusted: it names the customer and the list it belongs to,
and whatever else it says is checked like any parameter. What it can never say is whose repairs.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson

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
from repair_events.status import STATUSES, is_status
from repair_events.unit import normalise_unit
from service_runtime.clock import rfc3339
from service_runtime.errors import Problem

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200
_MAX_TEXT: Final = 100
_MAX_CURSOR: Final = 600
_MAX_NUMBER: Final = 2**63 - 1
_MONTH: Final = re.compile(r"(19|20|21)\d\d-(0[1-9]|1[0-2])", re.ASCII)
_DATE: Final = re.compile(r"(19|20|21)\d\d-\d\d-\d\d", re.ASCII)
_LIMIT: Final = re.compile(r"[1-9]\d{0,2}", re.ASCII)
_COST: Final = re.compile(r"\d{1,10}\.\d{2}", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_MAX_REPEATED: Final = 20
_FIRST_YEAR, _LAST_YEAR = 1900, 2199

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Asked:
    """A page as it was asked for; `seen` is the version of the page before it."""

    page: PageWanted
    seen: Version | None


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the next page begins, and at which version the list was begun."""

    place: Place
    version: Version


def asked_of(parameters: Iterable[tuple[str, str]], customer_id: int, zone: ZoneInfo) -> Asked:
    """Return the page that the parameters of an address ask for; dates are days in `zone`.

    Raises Problem (400) naming every parameter that is unknown, repeated or cannot be read.
    """
    reading = _Reading(parameters)
    which = RepairFilter(
        statuses=reading.many("status", _status),
        unit=reading.one("unit", _unit),
        month=reading.one("month", _month),
        since=reading.one("from", lambda text: _midnight(_day(text), zone)),
        until=reading.one("to", lambda text: _midnight(_day(text) + timedelta(days=1), zone)),
        text=reading.one("q", _text),
    )
    sort = reading.one("sort", _sort) or Sort()
    page = PageWanted(which, sort, None, reading.one("limit", _limit) or DEFAULT_LIMIT)
    if which.since and which.until and which.since >= which.until:
        reading.fault("to", "must not be before from")
    cursor = reading.one("cursor", lambda text: decode_cursor(text, customer_id, page))
    reading.finish()
    if cursor is None:
        return Asked(page, None)
    return Asked(replace(page, after=cursor.place), cursor.version)


def next_of(listed: Listed, asked: Asked, state: State, customer_id: int) -> str | None:
    """Return the cursor of the page behind this one, None on the last."""
    if listed.after is None:
        return None
    begun = asked.seen or state.version
    return encode_cursor(Cursor(listed.after, begun), customer_id, asked.page)


def encode_cursor(cursor: Cursor, customer_id: int, page: PageWanted) -> str:
    """Return the text of a cursor of this list."""
    key = cursor.place.key
    text = rfc3339(key) if isinstance(key, datetime) else str(key)
    version = cursor.version
    parts = [
        customer_id,
        _digest(page),
        text,
        str(cursor.place.repair_id),
        version.refold,
        version.revision,
    ]
    return base64.urlsafe_b64encode(orjson.dumps(parts)).rstrip(b"=").decode()


def decode_cursor(text: str, customer_id: int, page: PageWanted) -> Cursor:
    """Return what a cursor says. Raises ValueError, with a sentence, for one that is not ours."""
    try:
        owner, digest, key, repair_id, refold, revision = _unpack(text)
        place = Place(_key(page.sort, key), UUID(repair_id))
        version = Version(_whole(refold), _whole(revision))
    except (ValueError, TypeError, AttributeError, ArithmeticError, binascii.Error) as error:
        raise ValueError("is not one that an answer of ours carried") from error
    if owner != customer_id or digest != _digest(page):
        raise ValueError("belongs to another list; begin again without it")
    return Cursor(place, version)


def _unpack(text: str) -> list[Any]:
    if len(text) > _MAX_CURSOR:
        raise ValueError("longer than any of ours")
    packed = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    parts: list[Any] = orjson.loads(packed)
    return parts


def _whole(number: object) -> int:
    if type(number) is not int or not 0 <= number <= _MAX_NUMBER:
        raise ValueError("not a whole number")
    return number


class _Reading:
    """Takes parameters one by one and remembers what was wrong with them."""

    def __init__(self, parameters: Iterable[tuple[str, str]]) -> None:
        self._left: dict[str, list[str]] = {}
        for name, value in parameters:
            self._left.setdefault(name, []).append(value)
        self._faults: list[dict[str, str]] = []

    def one(self, name: str, read: Callable[[str], Value]) -> Value | None:
        """Return the value of a parameter that may be given once; None without it."""
        values = self._left.pop(name, [])
        if len(values) > 1:
            self.fault(name, "must be given once")
            return None
        return next(iter(self._read(name, values, read)), None)

    def many(self, name: str, read: Callable[[str], Value]) -> tuple[Value, ...]:
        """Return the values of a parameter that may be repeated."""
        values = self._left.pop(name, [])
        if len(values) > _MAX_REPEATED:
            self.fault(name, f"must be given at most {_MAX_REPEATED} times")
            return ()
        return tuple(self._read(name, values, read))

    def fault(self, name: str, detail: str) -> None:
        """Remember what is wrong with a parameter."""
        self._faults.append({"parameter": name[:_MAX_TEXT], "detail": detail})

    def finish(self) -> None:
        """Raise Problem (400) when anything was wrong or is left over."""
        for name in sorted(self._left)[:_MAX_REPEATED]:
            self.fault(name, "is not a parameter of this list")
        if self._faults:
            raise Problem(
                400,
                "bad-parameter",
                "The list cannot be asked for like this",
                "Every parameter that cannot be read is named in errors.",
                errors=self._faults,
            )

    def _read(self, name: str, values: list[str], read: Callable[[str], Value]) -> Iterator[Value]:
        for value in values:
            try:
                yield read(value)
            except ValueError as error:
                self.fault(name, str(error))


def _status(text: str) -> str:
    if not is_status(text):
        raise ValueError(f"must be one of {', '.join(STATUSES)}")
    return text


def _unit(text: str) -> str:
    if len(text) > _MAX_TEXT:
        raise ValueError("must be the number of a unit, at most 50 characters")
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
    text = text.strip()
    if not 1 <= len(text) <= _MAX_TEXT or _CONTROL.search(text):
        raise ValueError(f"must be 1 to {_MAX_TEXT} characters, none of them a control character")
    return text


def _sort(text: str) -> Sort:
    by = text.removeprefix("-")
    if by not in SORTS:
        raise ValueError(f"must be one of {', '.join(SORTS)}, with - in front for descending")
    return Sort(by, descending=text.startswith("-"))


def _limit(text: str) -> int:
    if not _LIMIT.fullmatch(text) or int(text) > MAX_LIMIT:
        raise ValueError(f"must be a number from 1 to {MAX_LIMIT}")
    return int(text)


def _key(sort: Sort, text: str) -> SortKey:
    if sort.by == "cost":
        if not _COST.fullmatch(text):
            raise ValueError(text[:10])
        return Decimal(text)
    if sort.by == "unit_number":
        return normalise_unit(text)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None or not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ValueError(text[:10])
    return moment


def _digest(page: PageWanted) -> str:
    """Return a name of the list; the size of its pages may change on the way."""
    return hashlib.sha256(repr((page.which, page.sort)).encode()).hexdigest()[:16]
