"""Parts common to the addresses of all lists: bounded parameters and cursors.

A cursor is opaque to callers and untrusted: it names its customer and its list.
The rest of a cursor passes the same checks as any parameter.
The customer of a request never comes from a cursor.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

import orjson

from portal_query.document import Version
from repair_events.unit import MAX_TYPED_LENGTH
from service_runtime.errors import Problem

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200
_MAX_NAME: Final = 100
_MAX_CURSOR: Final = 600
_MAX_NUMBER: Final = 2**63 - 1
_LIMIT: Final = re.compile(r"[1-9]\d{0,2}", re.ASCII)
_MAX_REPEATED: Final = 20

Value = TypeVar("Value")


class Reading:
    """Takes parameters one by one and collects their errors."""

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
        """Record the error of a parameter."""
        self._faults.append({"parameter": name[:_MAX_NAME], "detail": detail})

    def finish(self) -> None:
        """Raise Problem (400) when a parameter was wrong or is left over."""
        for name in sorted(self._left)[:_MAX_REPEATED]:
            self.fault(name, "is not a parameter of this list")
        if self._faults:
            raise Problem(
                400,
                "bad-parameter",
                "Some parameters cannot be accepted",
                "Every bad parameter is named in errors.",
                errors=self._faults,
            )

    def _read(self, name: str, values: list[str], read: Callable[[str], Value]) -> Iterator[Value]:
        for value in values:
            try:
                yield read(value)
            except ValueError as error:
                self.fault(name, str(error))


def limit_of(text: str) -> int:
    """Return the size of a page. Raises ValueError."""
    if not _LIMIT.fullmatch(text) or int(text) > MAX_LIMIT:
        raise ValueError(f"must be a number from 1 to {MAX_LIMIT}")
    return int(text)


def stored_unit(text: str) -> str:
    """Return the unit of a cursor unchanged: a unit cleaned again could sort elsewhere.

    Raises ValueError for text that cannot have been stored.
    """
    if not 1 <= len(text) <= MAX_TYPED_LENGTH or "\0" in text:
        raise ValueError("no stored unit")
    text.encode()  # half of a surrogate pair is no text: UnicodeEncodeError is a ValueError
    return text


def pack_cursor(customer_id: int, named: object, place: list[str], version: Version) -> str:
    """Return the text of a cursor: the list `named`, a position in it, and its version."""
    parts = [customer_id, _digest(named), *place, version.refold, version.revision]
    return base64.urlsafe_b64encode(orjson.dumps(parts)).rstrip(b"=").decode()


def unpack_cursor(
    text: str, customer_id: int, named: object, read: Callable[[str, str], Value]
) -> tuple[Value, Version]:
    """Return the position, parsed by `read`, and the version of a cursor.

    Raises ValueError, with a sentence, for a cursor that is foreign or of another list.
    """
    try:
        owner, digest, key, name, refold, revision = _unpack(text)
        place = read(key, name)
        version = Version(_whole(refold), _whole(revision))
    except (ValueError, TypeError, AttributeError, ArithmeticError, binascii.Error) as error:
        raise ValueError("is not one that this list has returned") from error
    if owner != customer_id or digest != _digest(named):
        raise ValueError("belongs to another list; begin again without it")
    return place, version


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


def _digest(named: object) -> str:
    """Return a short name of the list; the page's own parameters may change between pages."""
    return hashlib.sha256(repr(named).encode()).hexdigest()[:16]
