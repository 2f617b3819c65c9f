"""HTTP/1.1 connections: uvicorn's protocol with admission control before the application.

A request beyond the bound is answered 503 with bytes that were rendered at start, so that refusing
costs a small part of serving.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service_runtime.errors import PROBLEM_MEDIA_TYPE, Problem
from service_runtime.metrics import HTTP_REFUSED

Headers = Iterable[tuple[bytes, bytes]]

#: Requests whose answer has not begun, in one process.
MAX_REQUESTS: Final = 512

_OVERLOADED: Final = Problem(
    503,
    "overloaded",
    "Too many requests at once",
    "This process works on as many requests as it can. Nothing was changed; please try again.",
    headers={"Retry-After": "1"},
)


class Refusal:
    """An answer of the protocol itself, rendered once: a problem (RFC 9457) and its headers."""

    def __init__(self, problem: Problem, phrase: str, headers: Headers) -> None:
        body = orjson.dumps(problem.to_body())
        lines = [
            f"HTTP/1.1 {problem.status} {phrase}",
            f"Content-Type: {PROBLEM_MEDIA_TYPE}",
            f"Content-Length: {len(body)}",
            "Cache-Control: no-store",
            *(f"{name}: {value}" for name, value in problem.headers.items()),
            *(f"{name.decode()}: {value.decode()}" for name, value in headers),
        ]
        self._head = "\r\n".join(lines).encode() + b"\r\n"
        self._body = body
        self._count = HTTP_REFUSED.labels(problem.code)

    def render(self, date: Headers, *, close: bool, head_only: bool = False) -> bytes:
        """Return the bytes of the answer with the server's `date` header, and count it."""
        self._count.inc()
        parts = [self._head]
        parts += [b"%s: %s\r\n" % header for header in date]
        parts.append(b"Connection: close\r\n\r\n" if close else b"\r\n")
        if not head_only:
            parts.append(self._body)
        return b"".join(parts)


@dataclass(slots=True)
class ServerLoad:
    """Load of one server: `answering` requests are past the first byte of their answer.

    These are not counted against `max_requests`: an event stream is open for hours, and streams
    and downloads have bounds of their own.
    """

    max_requests: int
    overloaded: Refusal
    answering: int = 0


def server_load(max_requests: int, headers: Headers) -> ServerLoad:
    """Return the load of a new server; `headers` are on every refusal."""
    return ServerLoad(max_requests, Refusal(_OVERLOADED, "Service Unavailable", headers))


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, load: ServerLoad, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._load = load

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        load = self._load
        if len(self.tasks) - load.answering < load.max_requests:
            super()._start_asgi_task(cycle, app)
            return
        # A body that nobody will read cannot be told from the next request.
        with_body = any(
            name in {b"content-length", b"transfer-encoding"} for name, _ in cycle.scope["headers"]
        )
        close = with_body or not cycle.keep_alive
        cycle.response_started = cycle.response_complete = True
        head_only = cycle.scope["method"] == "HEAD"
        date = self.server_state.default_headers
        self.transport.write(load.overloaded.render(date, close=close, head_only=head_only))
        if close:
            self.transport.close()
        self.on_response_complete()
