"""Limits of an HTTP server, its refusals, and the load that they are compared with."""

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

#: Requests whose answer has not begun, in one process.
MAX_REQUESTS: Final = 512
#: Connections beyond the limits that still get an answer before they are closed.
_REFUSED_AT_ONCE: Final = 64
_IPV6_SITE_BITS: Final = 64


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Limits of one server, in seconds and bytes. A connection is closed at its limit, not later."""

    max_connections: int = 4_096
    #: Of one IPv4 address or one IPv6 network of 64 bits.
    max_connections_per_address: int = 512
    #: Proxies and services of ours: many clients share their address.
    trusted: tuple[Network, ...] = ()
    #: Request line and headers, from the first byte; the first ones from the connection on. With it
    #: a client sees the end within 10 s, and that of a body within 30 s.
    head_seconds: float = 9.0
    head_bytes: int = 16_384
    #: Between two requests. Longer than any client of ours keeps an idle connection, so that the
    #: client closes first.
    idle_seconds: float = 65.0
    #: A body brings `body_rate` bytes a second, measured over so many seconds (the rate is the
    #: default of Apache's mod_reqtimeout).
    body_seconds: float = 27.0
    body_rate: int = 500
    #: Requests whose body is on its way: they wait for their clients, and take no place of those
    #: that can be answered.
    bodies: int = 256
    bodies_per_address: int = 64
    #: Without one byte taken by a client whose answer waits.
    write_seconds: float = 30.0
    #: For a client to read an answer that was given before its request was complete.
    linger_seconds: float = 2.0
    #: Requests sent ahead of the answer.
    pipelined_bytes: int = 65_536
    sweep_seconds: float = 0.5


_AGAIN: Final = {"Retry-After": "1"}
#: Reason -> answer. The reason is the label of the metric.
_PROBLEMS: Final = {
    "overloaded": Problem(
        503,
        "overloaded",
        "Too many requests at once",
        "This process works on as many requests as it can. Nothing was changed; please try again.",
        headers=_AGAIN,
    ),
    "connections": Problem(
        503,
        "overloaded",
        "Too many connections at once",
        "This process holds as many connections as it can. Nothing was changed; please try again.",
        headers=_AGAIN,
    ),
    "address": Problem(
        429,
        "too-many-connections",
        "Too many connections of one address",
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
    """An answer of the protocol itself, rendered once: a problem (RFC 9457) and its headers."""

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
        """Return the bytes of the answer with the server's `date` header, and count it."""
        self._count.inc()
        parts = [self._head]
        parts += [b"%s: %s\r\n" % header for header in date]
        parts.append(b"Connection: close\r\n\r\n" if close else b"\r\n")
        if not head_only:
            parts.append(self._body)
        return b"".join(parts)


class Connection(Protocol):
    """Connection whose deadlines are checked."""

    def check(self, now: float) -> None:
        """Close the connection if a limit of time is reached."""
        ...


class ServerLoad:
    """Load of one server, and what it is compared with.

    `answering` requests are past the first byte of their answer. These are not counted against
    `max_requests`: an event stream is open for hours; streams and downloads have other bounds.
    Nor are those whose body is on its way, until it has come: whoever is slow waits for itself.
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
        """Count a connection; return the key to `leave` with, and the refusal if it is too many.

        Those turned away are counted apart until they have read why: the refused connections of
        one address must not take the places of all others.
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
        """Count a connection no longer."""
        if turned_away:
            self._turned_away -= 1
            return
        self._connections -= 1
        self._of_address[key] -= 1
        if not self._of_address[key]:
            del self._of_address[key]

    def has_room(self, tasks: int) -> bool:
        """Return whether a request may begin beside so many tasks of the server."""
        return tasks - self.answering - self._bodies < self.max_requests

    def begin_body(self, key: str) -> bool:
        """Count a request whose body is on its way; return False, and do not, if it is too many."""
        limits = self.limits
        if self._bodies >= limits.bodies:
            return False
        if key and self._bodies_of_address[key] >= limits.bodies_per_address:
            return False
        self._bodies += 1
        self._bodies_of_address[key] += 1
        return True

    def end_body(self, key: str) -> None:
        """Count it no longer."""
        self._bodies -= 1
        self._bodies_of_address[key] -= 1
        if not self._bodies_of_address[key]:
            del self._bodies_of_address[key]

    @property
    def is_flooded(self) -> bool:
        """Whether there are too many connections to answer even with a refusal."""
        return self._turned_away > _REFUSED_AT_ONCE

    async def sweep(self, connections: Collection[Connection]) -> None:
        """Check the deadlines of all connections, until cancelled.

        A sweep costs at most 1 us a connection, and a request no timer of its own.
        """
        clock: Callable[[], float] = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(self.limits.sweep_seconds)
            # Closed at the limit, not later: what is due before the next sweep is due now.
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
    """Return the key of those who share a limit: a site with IPv6 has 2^64 addresses."""
    address = _address(host)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, _IPV6_SITE_BITS), strict=False))
    return str(address)
