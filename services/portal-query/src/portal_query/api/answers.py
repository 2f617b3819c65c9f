"""Headers of every JSON response: its tag, its revision and its lag."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from portal_query.document import State, Version, version_of
from portal_query.read_model.documents import ReadModelAwayError, ReadModelBusyError
from service_runtime.clock import rfc3339
from service_runtime.errors import Problem, overloaded, unavailable
from service_runtime.headers import tags_of

Headers = list[tuple[bytes, bytes]]

MIN_REVISION_HEADER: Final = b"portal-min-revision"
REFOLD_HEADER: Final = b"portal-refold"

_MAX_NUMBER: Final = 2**63 - 1
_MAX_DIGITS: Final = 19


@dataclass(frozen=True, slots=True)
class Wanted:
    """Version that a caller has already seen; a response must be at least as new."""

    revision: int
    refold: int | None = None

    def reached_by(self, version: Version) -> bool:
        """Return whether `version` is as new; a higher refold replaces the page, so it always is."""
        if self.refold is None or version.refold == self.refold:
            return version.revision >= self.revision
        return version.refold > self.refold


def wanted_of(revision: bytes | None, refold: bytes | None) -> Wanted | None:
    """Parse `Portal-Min-Revision` and `Portal-Refold`; return None without the first.

    Raises Problem (400) naming a header that is not a number.
    """
    if revision is None:
        return None
    number = _number("Portal-Min-Revision", revision)
    return Wanted(number, None if refold is None else _number("Portal-Refold", refold))


def not_now(what: str, error: ReadModelAwayError) -> Problem:
    """Return the 503 for data that cannot be read now: unavailable or overloaded."""
    return (overloaded if isinstance(error, ReadModelBusyError) else unavailable)(what)


def problem_headers(problem: Problem) -> Headers:
    """Return the headers of a problem in ASGI form."""
    return [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]


def not_reached(wanted: Wanted) -> Problem:
    """Return the 503 for a revision that did not arrive in time."""
    return Problem(
        503,
        "revision-not-reached",
        "This revision has not arrived yet",
        f"Revision {wanted.revision} has not arrived here yet. Please try again.",
        headers={"Retry-After": "1"},
    )


def state_headers(state: State, now: datetime) -> Headers:
    """Return the headers of a response in this state; `now` determines the lag."""
    headers = [*_tag_headers(state.tag)]
    if state.as_of is not None:
        headers.append((b"portal-as-of", _time(state.as_of)))
        headers.append((b"portal-lag", b"%d" % lag_seconds(state.as_of, now)))
    return headers


def lag_seconds(as_of: datetime, now: datetime) -> int:
    """Return the lag in whole seconds, rounded up, at least 0."""
    return max(0, math.ceil((now - as_of).total_seconds()))


def is_known(if_none_match: bytes | None, tag: str) -> bool:
    """Return whether the caller holds the response with this tag (weak comparison)."""
    if if_none_match is None:
        return False
    mine = tag.encode()
    if if_none_match == b'"%b"' % mine or if_none_match == b"*":
        return True
    return mine in (tags_of(if_none_match) or ())


def header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """Return the first header of this lower-case name."""
    return next((value for key, value in headers if key == name), None)


@lru_cache(maxsize=16_384)
def _tag_headers(tag: str) -> tuple[tuple[bytes, bytes], ...]:
    version = version_of(tag)
    return (
        (b"etag", b'"%b"' % tag.encode()),
        (b"cache-control", b"private, no-cache"),
        (b"vary", b"Cookie"),
        (b"portal-revision", b"%d" % version.revision),
        (b"portal-refold", b"%d" % version.refold),
    )


@lru_cache(maxsize=64)
def _time(moment: datetime) -> bytes:
    return rfc3339(moment).encode()


def _number(name: str, text: bytes) -> int:
    if text.isdigit() and len(text) <= _MAX_DIGITS and (number := int(text)) <= _MAX_NUMBER:
        return number
    raise Problem(
        400,
        "bad-header",
        "A header cannot be read",
        f"{name} must be a whole number from an earlier response.",
        errors=[{"header": name, "detail": "must be a whole number, 0 or more"}],
    )
