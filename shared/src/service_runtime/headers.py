"""Header fields: white space, lists, entity tags and codings by RFC 9110; security headers of pages."""

import re
from collections.abc import Iterable
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

Headers = Iterable[tuple[bytes, bytes]]

#: Of every page: nothing inline, and nothing of another origin. A unit's name is never a script.
PAGE_SECURITY: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
}
#: Optional white space (RFC 9110, 5.6.3).
_SPACE: Final = b" \t"
# Elements of a list may be empty (5.6.1). A tag excludes white space, quotes and control characters
# (8.8.3). The pattern reads each byte once: white space ends at the tag or at the comma.
_ELEMENT: Final = re.compile(
    rb'[ \t]*(?:(?:W/)?"(?P<tag>[\x21\x23-\x7e\x80-\xff]*)"[ \t]*)?(?:,|$)'
)
# More than 0: a weight has at most three digits behind the point (12.4.2).
_WEIGHT: Final = re.compile(rb"q=(?:1(?:\.0{0,3})?|0\.(?!0*$)\d{1,3})")


class TrimmedHeaders:
    """Middleware that removes optional white space around header values; the parser leaves it in."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            headers = scope["headers"]
            if any(value[:1] in _BOTH or value[-1:] in _BOTH for _, value in headers if value):
                scope["headers"] = [(name, value.strip(_SPACE)) for name, value in headers]
        await self._app(scope, receive, send)


_BOTH: Final = frozenset((b" ", b"\t"))


def joined(headers: Headers, name: bytes) -> bytes | None:
    """Return the value of a header (lower-case name), several lines joined by `, `; None if absent."""
    values = [value for key, value in headers if key == name]
    if not values:
        return None
    return values[0] if len(values) == 1 else b", ".join(values)


def accepts_coding(headers: Headers, coding: bytes) -> bool:
    """Return whether Accept-Encoding allows this coding (lower case), by RFC 9110, section 12.5.3.

    A coding that is not listed is allowed by `*`. One with the weight 0 or an invalid weight is not
    allowed. Without the header the answer is False: the body as it is serves every client.
    """
    weights = {}
    for element in (joined(headers, b"accept-encoding") or b"").split(b","):
        name, *parameters = (part.strip(_SPACE).lower() for part in element.split(b";"))
        weights[name] = all(_WEIGHT.fullmatch(one) for one in parameters)
    return weights.get(coding, weights.get(b"*", False))


def tags_of(header: bytes) -> list[bytes] | None:
    """Return the entity tags of If-Match or If-None-Match; None if the value is malformed.

    A weak tag equals the strong tag of the same text, because compressing proxies weaken tags.
    `*` is no tag: the caller checks for it first.
    """
    tags: list[bytes] = []
    at = 0
    while at < len(header):
        element = _ELEMENT.match(header, at)
        if element is None:
            return None
        tag = element["tag"]
        if tag is not None:
            tags.append(tag)
        at = element.end()
    return tags
