"""Limits of an HTTP server, its error responses, and its current load."""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

import orjson

from service_runtime.errors import PROBLEM_MEDIA_TYPE, Problem
from service_runtime.metrics import HTTP_REFUSED

Headers = Iterable[tuple[bytes, bytes]]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Limit of requests of one process whose response has not begun.
MAX_REQUESTS: Final = 512
#: Connections beyond the limits that still get a response before they are closed.
_REFUSED_AT_ONCE: Final = 64
_IPV6_SITE_BITS: Final = 64


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Limits of one server, in seconds and bytes. A connection closes no later than at its limit."""

    max_connections: int = 4_096
    #: Of one IPv4 address or one IPv6 network of 64 bits.
    max_connections_per_address: int = 512
    #: Own proxies and services: many clients share their address.
    trusted: tuple[Network, ...] = ()
    #: Time for request line and headers from the first byte, for the first request from the
    #: connection on. A slow client sees the end of a head within 10 s, of a body within 30 s.
    head_seconds: float = 9.0
    head_bytes: int = 16_384
    #: Time between two requests. Own clients close idle connections earlier, so the client closes
    #: first.
    idle_seconds: float = 65.0
    #: Window, in seconds, in which a body must average `body_rate` bytes a second (the default rate
    #: of Apache's mod_reqtimeout).
    body_seconds: float = 27.0
    body_rate: int = 500
    #: Requests whose body is still arriving. They wait for their clients, so their limit is separate
    #: from that of requests which the application can serve.
    bodies: int = 256
    bodies_per_address: int = 64
    #: Time without one byte accepted by a client whose response is waiting.
    write_seconds: float = 30.0
    #: Time for a client to read a response that was sent before its request was complete.
    linger_seconds: float = 2.0
    #: Bytes of requests that are sent ahead of the response.
    pipelined_bytes: int = 65_536
    sweep_seconds: float = 0.5


_AGAIN: Final = {"Retry-After": "1"}
#: Reason -> response. The reason is the label of the metric.
_PROBLEMS: Final = {
    "overloaded": Problem(
        503,
        "overloaded",
        "Too much to do",
        "This process works on as many requests as it can. Nothing was changed; please try again.",
        headers=_AGAIN,
    ),
    "connections": Problem(
        503,
        "overloaded",
        "Too much to do",
        "This process holds as many connections as it can. Nothing was changed; please try again.",
        headers=_AGAIN,
    ),
    "address": Problem(
        429,
        "too-many-connections",
        "Too many connections from one address",
        "Your address holds as many connections as one address may. Close one, or use it again.",
        headers=_AGAIN,
    ),
    "malformed": Problem(
        400,
        "malformed",
        "The request cannot be read",
        "It must be an HTTP/1.1 message with one Host and one certain end (RFC 9112).",
    ),
    "late": Problem(
        408,
        "too-slow",
        "The request took too long to arrive",
        "It did not arrive in time, and the connection closes; please send it again.",
    ),
    "long-line": Problem(
        414,
        "address-too-long",
        "The address is too long",
        "The request line is longer than a request line and its headers may be together.",
    ),
    "large-head": Problem(
        431,
        "headers-too-large",
        "The headers are too large",
        "The request line and the headers have more bytes than they may have together.",
    ),
}


class Refusal:
    """Error response of the protocol itself, rendered once: a problem (RFC 9457) and its headers."""

    def __init__(self, reason: str, problem: Problem, headers: Headers) -> None:
        body = orjson.dumps(problem.to_body())
        lines = [
            f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}",
            f"Content-Type: {PROBLEM_MEDIA_TYPE}",
            f"Content-Length: {len(body)}",
            "Cache-Control: no-store",
            *(f"{name}: {value}" for name, value in problem.headers.items()),
            *(f"{name.decode()}: {value.decode()}" for name, value in headers),
        ]
        self._head = "\r\n".join(lines).encode() + b"\r\n"
        self._body = body
        self._count = HTTP_REFUSED.labels(reason)

    def render(self, date: Headers, *, close: bool, head_only: bool = False) -> bytes:
        """Return the bytes of the response with the server's `date` header, and count it."""
        self._count.inc()
        parts = [self._head]
        parts += [b"%s: %s\r\n" % header for header in date]
        parts.append(b"Connection: close\r\n\r\n" if close else b"\r\n")
        if not head_only:
            parts.append(self._body)
        return b"".join(parts)


class Connection(Protocol):
    """Connection with deadlines."""

    def check(self, now: float) -> None:
        """Close the connection if a deadline has passed at `now`, in seconds of the loop's clock."""
        ...


class ServerLoad:
    """Load of one server, and its limits.

    `answering` is the number of requests past the first byte of their response. `max_requests`
    excludes these: an event stream is open for hours; streams and downloads have other bounds.
    It also excludes requests whose body is still arriving: a slow client delays only itself.
    """

    def __init__(self, limits: HttpLimits, max_requests: int, headers: Headers) -> None:
        self.limits = limits
        self.max_requests = max_requests
        self.refusals = {
            reason: Refusal(reason, problem, headers) for reason, problem in _PROBLEMS.items()
        }
        self.answering = 0
        self._connections = 0
        self._turned_away = 0
        self._of_address: Counter[str] = Counter()
        self._bodies_of_address: Counter[str] = Counter()
        self._bodies = 0

    def enter(self, host: str) -> tuple[str, Refusal | None]:
        """Count a connection; return its key for `leave`, and a refusal if a limit is exceeded.

        Refused connections are counted separately until they have read the response. So those of
        one address leave the limit of all others unchanged.
        """
        key = "" if self._is_trusted(host) else _group_of(host)
        refusal = None
        if key and self._of_address[key] >= self.limits.max_connections_per_address:
            refusal = self.refusals["address"]
        elif self._connections >= self.limits.max_connections:
            refusal = self.refusals["connections"]
        if refusal is None:
            self._connections += 1
            self._of_address[key] += 1
        else:
            self._turned_away += 1
        return key, refusal

    def leave(self, key: str, *, turned_away: bool) -> None:
        """Remove a connection from the count."""
        if turned_away:
            self._turned_away -= 1
            return
        self._connections -= 1
        self._of_address[key] -= 1
        if not self._of_address[key]:
            del self._of_address[key]

    def has_room(self, tasks: int) -> bool:
        """Return whether a request may start while the server has `tasks` tasks."""
        return tasks - self.answering - self._bodies < self.max_requests

    def begin_body(self, key: str) -> bool:
        """Count a request whose body is still arriving; return False, uncounted, at a limit."""
        limits = self.limits
        if self._bodies >= limits.bodies:
            return False
        if key and self._bodies_of_address[key] >= limits.bodies_per_address:
            return False
        self._bodies += 1
        self._bodies_of_address[key] += 1
        return True

    def end_body(self, key: str) -> None:
        """Remove such a request from the count, by the key of its address."""
        self._bodies -= 1
        self._bodies_of_address[key] -= 1
        if not self._bodies_of_address[key]:
            del self._bodies_of_address[key]

    @property
    def is_flooded(self) -> bool:
        """Return whether there are too many connections even for a refusal."""
        return self._turned_away > _REFUSED_AT_ONCE

    async def sweep(self, connections: Collection[Connection]) -> None:
        """Check the deadlines of all connections, until cancelled.

        A sweep costs at most 1 us a connection, and it replaces a timer for each request.
        """
        clock: Callable[[], float] = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(self.limits.sweep_seconds)
            # A connection closes no later than at its limit: a deadline before the next sweep is due now.
            due = clock() + self.limits.sweep_seconds
            for connection in tuple(connections):
                connection.check(due)

    def _is_trusted(self, host: str) -> bool:
        if not self.limits.trusted:
            return False
        address = _address(host)
        return address is not None and any(address in net for net in self.limits.trusted)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _group_of(host: str) -> str:
    """Return the key of addresses that share a limit: an IPv6 site has 2^64 addresses."""
    address = _address(host)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, _IPV6_SITE_BITS), strict=False))
    return str(address)
