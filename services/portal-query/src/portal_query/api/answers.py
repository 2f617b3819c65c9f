"""What every JSON answer says about itself: its tag, its revision, and until when it is complete."""

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
    """What a caller has seen already: nothing older may be answered."""

    revision: int
    refold: int | None = None

    def reached_by(self, version: Version) -> bool:
        """Say whether `version` is as new; any higher refold starts the page anew, so it is."""
        if self.refold is None or version.refold == self.refold:
            return version.revision >= self.revision
        return version.refold > self.refold


def wanted_of(revision: bytes | None, refold: bytes | None) -> Wanted | None:
    """Return what `Portal-Min-Revision` and `Portal-Refold` ask for, None without the first.

    Raises Problem (400) naming the header that is no number.
    """
    if revision is None:
        return None
    number = _number("Portal-Min-Revision", revision)
    return Wanted(number, None if refold is None else _number("Portal-Refold", refold))


def not_now(what: str, error: ReadModelAwayError) -> Problem:
    """Return the 503 of what cannot be read now, with the true reason: unavailable or busy."""
    return (overloaded if isinstance(error, ReadModelBusyError) else unavailable)(what)


def problem_headers(problem: Problem) -> Headers:
    """Return the headers of a problem as ASGI takes them."""
    return [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]


def not_reached(wanted: Wanted) -> Problem:
    """Return the 503 for a revision that did not come in time."""
    return Problem(
        503,
        "revision-not-reached",
        "This revision has not arrived yet",
        f"Revision {wanted.revision} has not arrived here yet. Please try again.",
        headers={"Retry-After": "1"},
    )


def state_headers(state: State, now: datetime) -> Headers:
    """Return the headers of an answer in this state; `now` is for its lag."""
    headers = [*_tag_headers(state.tag)]
    if state.as_of is not None:
        headers.append((b"portal-as-of", _time(state.as_of)))
        headers.append((b"portal-lag", b"%d" % lag_seconds(state.as_of, now)))
    return headers


def lag_seconds(as_of: datetime, now: datetime) -> int:
    """Return how far behind an answer may be, in whole seconds, never less than the truth."""
    return max(0, math.ceil((now - as_of).total_seconds()))


def is_known(if_none_match: bytes | None, tag: str) -> bool:
    """Say whether the caller holds the answer with this tag already (compared weakly)."""
    if if_none_match is None:
        return False
    mine = tag.encode()
    if if_none_match == b'"%b"' % mine or if_none_match == b"*":
        return True
    return mine in (tags_of(if_none_match) or ())


def header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """Return the first header of this (lower case) name."""
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
