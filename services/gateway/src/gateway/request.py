"""A request as the gateway reads it: its headers read once, its cookies as bytes, its peer.

Nothing here trusts a client's claim of its identity. Some requests pass uvicorn, but no browser
sends them: two hosts, a host with a path, hundreds of headers. They are rejected here.
"""

import asyncio
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope

from gateway.csrf import COOKIE as CSRF_COOKIE
from gateway.devices import COOKIE as DEVICE_COOKIE

SESSION_COOKIE: Final = "sessionid"
#: A cookie with this prefix is Secure, of this host alone, and of all its paths (RFC 6265bis,
#: 4.1.3). No sibling host and no other path can set one of the same name.
HOST_PREFIX: Final = "__Host-"
#: Cookies of one name that are read. A browser sends several if others have set it too.
_MAX_COOKIES: Final = 4

MAX_QUERY: Final = 8_000
_MAX_HEADERS: Final = 100
#: The longest form: a list of two hundred repairs with their states, and the fields for all of
#: them.
_MAX_FIELDS: Final = 512
BODY_SECONDS: Final = 10.0

# No repeat gives back what it took (`*+`): two that could share white space would try every split
# of it, and 16 KB of spaces in one cookie took seconds.
_SESSION: Final = re.compile(rb"(?:^|;)[ \t]*+((?:__Host-)?sessionid)=([^;]*+)")
_SESSION_ID: Final = re.compile(rb"[a-z0-9]{32}")
_CSRF: Final = re.compile(
    rb"(?:^|;)[ \t]*+" + CSRF_COOKIE.encode() + rb"=[ \t]*+([A-Za-z0-9]{32,64}+)[ \t]*+(?=;|$)"
)
_DEVICE: Final = re.compile(
    rb"(?:^|;)[ \t]*+((?:__Host-)?)"
    + DEVICE_COOKIE.encode()
    + rb"=[ \t]*+([A-Za-z0-9_.:-]*+)[ \t]*+(?=;|$)"
)
_HOST: Final = re.compile(r"([a-z0-9](?:[a-z0-9.-]{0,252})|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?")
_FORM: Final = b"application/x-www-form-urlencoded"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class MalformedError(Exception):
    """An error for a request that breaks a rule of framing; `status` is the response's."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class BodyTooLargeError(Exception):
    """An error for a body with more bytes than the route takes."""


class BodyLateError(Exception):
    """An error for a body that did not arrive in time."""


class ClientGoneError(Exception):
    """An error for a client that closed the connection before its request was complete."""


@dataclass(frozen=True, slots=True)
class SessionCookies:
    """The session cookies of a request: their names, and the values that may be session ids."""

    names: tuple[str, ...] = ()
    ids: tuple[bytes, ...] = ()


class Request:
    """A request with its headers in one dictionary; names are lower case."""

    __slots__ = (
        "_body", "_pairs", "_receive", "fields", "id", "method", "peer", "query", "raw_path",
    )  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive, request_id: str) -> None:
        self.method: str = scope["method"]
        self.raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        self.query: bytes = scope["query_string"]
        self.peer: str = (scope.get("client") or ("", 0))[0]
        self.fields = _fold(scope["headers"])
        self.id = request_id
        self._receive = receive
        self._body: bytes | None = None
        self._pairs: list[tuple[str, str]] | None = None

    def text(self, name: bytes) -> str | None:
        """Return a header as text, or None."""
        value = self.fields.get(name)
        return None if value is None else value.decode("latin-1")

    def session_cookies(self) -> SessionCookies:
        """Return the session ids that the browser sends, at most four, in order of precedence.

        `__Host-sessionid` comes first. Of several cookies with one name the last comes first, as in
        Django.
        """
        cookies = self.fields.get(b"cookie")
        pairs = [] if cookies is None else _SESSION.findall(cookies)
        found = [(name, value.strip(b" \t")) for name, value in pairs]
        if not found:
            return _NO_COOKIES
        ordered = list(reversed(found))
        ordered.sort(key=lambda pair: pair[0] == SESSION_COOKIE.encode())
        names = dict.fromkeys(name.decode() for name, _ in ordered)
        ids = dict.fromkeys(value for _, value in ordered if _SESSION_ID.fullmatch(value))
        return SessionCookies(tuple(names), tuple(ids)[:_MAX_COOKIES])

    def csrf_cookies(self) -> list[str]:
        """Return the CSRF cookies, at most four, the last first: ours has the shortest path."""
        found = _CSRF.findall(self.fields.get(b"cookie", b""))
        return [value.decode() for value in found[: -_MAX_COOKIES - 1 : -1]]

    def device_cookies(self) -> list[bytes]:
        """Return the cookies that name devices, at most four; their signatures are not verified.

        They have the order of session cookies, so that a neighbour's cannot push ours out.
        """
        found = _DEVICE.findall(self.fields.get(b"cookie", b""))[::-1]
        found.sort(key=lambda pair: not pair[0])
        return [value for _, value in found[:_MAX_COOKIES]]

    @property
    def is_form(self) -> bool:
        """True if the content type is that of a form."""
        return self.fields.get(b"content-type", b"").split(b";")[0].strip().lower() == _FORM

    async def body(self, limit: int) -> bytes:
        """Return the whole body, at most `limit` bytes, read once.

        Raises BodyTooLargeError (before reading, if Content-Length exceeds the limit),
        BodyLateError, and ClientGoneError if the connection closes before the end.
        """
        if self._body is None:
            length = self.fields.get(b"content-length", b"0")
            if len(length) > 9 or int(length) > limit:  # noqa: PLR2004 - a gigabyte has ten digits
                raise BodyTooLargeError
            try:
                async with asyncio.timeout(BODY_SECONDS):
                    self._body = await self._read(limit)
            except TimeoutError:
                raise BodyLateError from None
        return self._body

    async def _read(self, limit: int) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise BodyTooLargeError
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)

    async def fields_of_form(self, limit: int) -> list[tuple[str, str]]:
        """Return the fields of a form in their order; an empty list without a readable form.

        Raises as `body`.
        """
        if not self.is_form:
            return []
        body = await self.body(limit)
        if self._pairs is None:
            try:
                self._pairs = parse_qsl(
                    body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS
                )
            except ValueError:
                self._pairs = []
        return self._pairs

    async def form(self, limit: int) -> dict[str, str]:
        """Return the fields of a form, with the last value of each name. Raises as `body`."""
        return dict(await self.fields_of_form(limit))

    async def gone(self) -> None:
        """Return when the client has closed the connection."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


_NO_COOKIES: Final = SessionCookies()


def _fold(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return the headers as a dictionary, with repeated ones joined as in RFC 9110.

    Raises MalformedError for more than a hundred headers (431); the server bounds their bytes.
    Raises it also for a body without a Content-Length (411). No browser sends either.
    """
    fields: dict[bytes, bytes] = {}
    count = 0
    for name, value in headers:
        count += 1
        value = value.strip(b" \t")  # noqa: PLW2901 - optional white space is no part of it
        if name in fields:
            fields[name] += (b"; " if name == b"cookie" else b", ") + value
        else:
            fields[name] = value
    if count > _MAX_HEADERS:
        raise MalformedError(431, "more headers than any browser sends")
    if b"transfer-encoding" in fields:
        raise MalformedError(411, "a body without a length")
    return fields


class Hosts:
    """The allowed host names of the portal, written as Django's ALLOWED_HOSTS."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._exact = {name.lower() for name in allowed if not name.startswith(".")}
        self._below = tuple(name.lower() for name in allowed if name.startswith("."))
        self._known: dict[bytes, str] = {}

    def accept(self, header: bytes | None) -> str | None:
        """Return the host in the form for comparison (lower case, with its port), or None."""
        if header is None:
            return None
        known = self._known.get(header)
        if known is None:
            known = self._judge(header)
            if known is not None and len(self._known) < 100:  # noqa: PLR2004 - names of one portal
                self._known[header] = known
        return known

    def _judge(self, header: bytes) -> str | None:
        host = header.decode("latin-1").lower()
        found = _HOST.fullmatch(host)
        if found is None:
            return None
        name = found[1].rstrip(".")
        below = any(name == parent[1:] or name.endswith(parent) for parent in self._below)
        return host if below or name in self._exact or "*" in self._exact else None


class Peers:
    """The trusted proxies, and the lookup of a request's real address behind them."""

    def __init__(self, trusted: Iterable[str]) -> None:
        self._trusted: tuple[Network, ...] = tuple(
            ipaddress.ip_network(text, strict=False) for text in trusted
        )

    def client_of(self, request: Request) -> str:
        """Return the right-most address of X-Forwarded-For that is not a trusted proxy.

        The header counts only from a trusted proxy. It is read from the right, up to the first part
        that is no address.
        """
        if not self._trusted or not self._is_ours(request.peer):
            return request.peer
        forwarded = request.text(b"x-forwarded-for")
        if not forwarded or len(forwarded) > 2_000:  # noqa: PLR2004 - a dozen hops at most
            return request.peer
        client = request.peer
        for hop in reversed([part.strip() for part in forwarded.split(",")]):
            address = _address(hop)
            if address is None:
                return client
            client = str(address)
            if not self._is_ours(client):
                return client
        return client

    def _is_ours(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self._trusted)


def _address(text: str) -> Any:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address
