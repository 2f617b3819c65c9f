"""Responses as values (status, headers, body), and the headers that every response carries."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Final

import orjson

from gateway.routes import Refusals
from service_runtime.errors import PROBLEM_MEDIA_TYPE, REASON_HEADER, Problem
from service_runtime.headers import PAGE_SECURITY

Headers = list[tuple[bytes, bytes]]

HTML: Final = (b"content-type", b"text/html; charset=utf-8")
_JSON: Final = (b"content-type", b"application/json")
VARY_COOKIE: Final = (b"vary", b"Cookie")
NO_STORE: Final = (b"cache-control", b"no-store")

_SECURITY: Final = (
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    *((name.lower().encode(), value.encode()) for name, value in PAGE_SECURITY.items()),
)
_TRANSPORT: Final = (b"strict-transport-security", b"max-age=31536000")


def security_headers(*, https: bool) -> tuple[tuple[bytes, bytes], ...]:
    """Return the security headers of every response."""
    return (*_SECURITY, _TRANSPORT) if https else _SECURITY


@dataclass(slots=True)
class Answer:
    """A whole response, with its length."""

    status: int
    headers: Headers = field(default_factory=list)
    body: bytes = b""

    def with_length(self) -> Headers:
        """Return the headers with the length of the body; 304 has none."""
        if self.status == 304:  # noqa: PLR2004 - RFC 9110 15.4.5
            return self.headers
        return [*self.headers, (b"content-length", b"%d" % len(self.body))]


class RefusedError(Exception):
    """An error that ends a request early, with a response."""

    def __init__(self, answer: Answer, reason: str = "") -> None:
        super().__init__(reason or str(answer.status))
        self.answer = answer


def empty(status: int, *headers: tuple[bytes, bytes]) -> Answer:
    """Return a response without a body, with Django's content type."""
    return Answer(status, [HTML, *headers])


def redirect(status: int, location: str, *headers: tuple[bytes, bytes]) -> Answer:
    """Return a redirect to an address of the portal."""
    return empty(status, (b"location", location.encode("ascii")), *headers)


def documented_error(status: int, message: str, headers: Iterable[tuple[bytes, bytes]]) -> Answer:
    """Return an error in the format of the portal's document."""
    return Answer(status, [_JSON, *headers], json.dumps({"error": message}).encode())


def problem(problem: Problem, request_id: str, *headers: tuple[bytes, bytes]) -> Answer:
    """Return an error in the format of the other endpoints (RFC 9457)."""
    own = [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    return Answer(
        problem.status,
        [(b"content-type", PROBLEM_MEDIA_TYPE.encode()), *own, *headers],
        orjson.dumps(problem.to_body(request_id)),
    )


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal of the gateway itself, in all the formats that it may take."""

    status: int
    code: str
    title: str
    detail: str
    documented: str
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def as_json(
        self, shape: Refusals, request_id: str, headers: Iterable[tuple[bytes, bytes]] | None = None
    ) -> Answer:
        """Return it as JSON, with these headers or with its own; `pages` makes the HTML format."""
        carried = self.headers if headers is None else headers
        if shape is Refusals.DOCUMENTED:
            return documented_error(self.status, self.documented, carried)
        fault = Problem(self.status, self.code, self.title, self.detail)
        return problem(fault, request_id, *carried)


def retry_after(seconds: float) -> tuple[bytes, bytes]:
    """Return the `Retry-After` header in whole seconds, rounded up, at least one."""
    return (b"retry-after", b"%d" % max(1, round(seconds + 0.499)))


_PRIVATE: Final = (b"cache-control", b"private, no-store")

NO_PROFILE: Final = Refusal(
    404,
    "customer-profile-not-found",
    "Customer profile not found",
    "This login is not linked to a customer yet. Ask your contact at RS Wind to link it.",
    "Customer profile not found",
    (VARY_COOKIE, (b"cache-control", b"private, no-cache")),
)
AWAY: Final = Refusal(
    503,
    "unavailable",
    "Temporarily unavailable",
    "A part of the portal cannot be reached just now. Please try again.",
    "Service temporarily unavailable",
    (retry_after(2), _PRIVATE),
)
OVERLOADED: Final = Refusal(
    503,
    "overloaded",
    "Too much to do",
    "The portal has more to do than it can at once. Nothing was changed; please try again.",
    "Too many requests at once",
    (retry_after(2), _PRIVATE, (REASON_HEADER.lower().encode(), b"overloaded")),
)
BROKEN: Final = Refusal(
    502,
    "bad-answer",
    "Something went wrong on our side",
    "A part of the portal gave an answer that cannot be used. It has been logged.",
    "Server error",
    (_PRIVATE,),
)
FAULT: Final = Refusal(
    500,
    "internal",
    "Something went wrong on our side",
    "It has been logged under the request id.",
    "Server error",
    (_PRIVATE,),
)
TOO_LARGE: Final = Refusal(
    413,
    "too-large",
    "The request is too large",
    "The body has more bytes than this address accepts.",
    "Request too large",
    (_PRIVATE,),
)
TOO_LONG: Final = Refusal(
    414,
    "address-too-long",
    "The address is too long",
    "The path or the query is longer than any address of the portal.",
    "Address too long",
    (_PRIVATE,),
)
LATE_BODY: Final = Refusal(
    408,
    "too-slow",
    "The request took too long to arrive",
    "Its last byte did not arrive in time. Nothing was changed.",
    "Request timeout",
    (_PRIVATE, (b"connection", b"close")),
)
TOO_MANY: Final = Refusal(
    429,
    "too-many-requests",
    "Too many requests",
    "Please wait as long as Retry-After says.",
    "Too many requests",
    (_PRIVATE,),
)
NOT_FROM_HERE: Final = Refusal(
    403,
    "csrf",
    "The request was not made by a page of the portal",
    "It lacks the token of the page, or comes from another site. Load the page again.",
    "CSRF verification failed",
    (_PRIVATE,),
)


def set_cookie(name: str, value: str, **attributes: Any) -> tuple[bytes, bytes]:
    """Return a `Set-Cookie` header with the attributes in the order given; True omits the value."""
    parts = [f"{name}={value}"]
    for attribute, setting in attributes.items():
        label = _ATTRIBUTES[attribute]
        if setting is True:
            parts.append(label)
        elif setting is not False:
            parts.append(f"{label}={setting}")
    return (b"set-cookie", "; ".join(parts).encode("ascii"))


_ATTRIBUTES: Final[Mapping[str, str]] = {
    "expires": "expires",
    "httponly": "HttpOnly",
    "max_age": "Max-Age",
    "path": "Path",
    "samesite": "SameSite",
    "secure": "Secure",
}


def cookie_expiry(now: float, seconds: int) -> str:
    """Return the time of `seconds` after `now` (seconds since 1970) in the format of cookies."""
    return formatdate(now + seconds, usegmt=True)


def delete_cookies(names: Iterable[str]) -> Headers:
    """Return the headers that delete session cookies, byte for byte as Django sends them.

    A browser accepts a name with the prefix `__Host-` only with the attribute Secure.
    """
    return [
        set_cookie(
            name,
            '""',
            expires="Thu, 01 Jan 1970 00:00:00 GMT",
            max_age=0,
            path="/",
            samesite="Lax",
            secure=name.startswith("__Host-"),
        )
        for name in names
    ]


def fresh_page_headers(now: float) -> Headers:
    """Return the headers that keep a page with a form out of every cache, as Django writes them."""
    return [
        (b"expires", formatdate(now, usegmt=True).encode()),
        (b"cache-control", b"max-age=0, no-cache, no-store, must-revalidate, private"),
    ]
