"""Operators' port of a process: /livez, /readyz and /metrics, on an internal address.

/livez is 200 while the event loop runs and every named loop has sent a recent heartbeat.
/readyz is 200 while the process can work; `?verbose` lists the parts.
A plain asyncio server, so it responds while the process's own server is closed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Self

from prometheus_client import generate_latest

from service_runtime.clock import Clock, SystemClock
from service_runtime.failpoints import fp
from service_runtime.metrics import EVENT_LOOP_TASKS, REGISTRY

Check = Callable[[], Awaitable[None]]

_MAX_REQUEST = 8_192
_TIMEOUT = 5.0
_MAX_CONNECTIONS = 256
HEART_STOPPED_AFTER_SECONDS = 30.0


class Health:
    """Health of a process: its checks, its heartbeats, and whether it is stopping."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._checks: dict[str, Check] = {}
        self._beats: dict[str, float] = {}
        self.stopping = False

    def register(self, name: str, check: Check) -> None:
        """Add a check; it raises, with a sentence as message, while its part cannot work."""
        self._checks[name] = check

    def beat(self, heart: str) -> None:
        """Record a heartbeat of the loop `heart`; from then on one is due every thirty seconds."""
        self._beats[heart] = self._clock.monotonic()

    def stopped_hearts(self) -> list[str]:
        """Return the loops without a heartbeat for more than thirty seconds."""
        now = self._clock.monotonic()
        return [
            heart for heart, beat in self._beats.items() if now - beat > HEART_STOPPED_AFTER_SECONDS
        ]

    async def faults(self) -> dict[str, str]:
        """Return the faults as part -> reason; empty when the process is ready."""
        faults = {"process": "is stopping"} if self.stopping else {}
        found = await asyncio.gather(*map(_fault_of, self._checks.values()))
        return faults | {
            name: fault for name, fault in zip(self._checks, found, strict=True) if fault
        }

    @property
    def parts(self) -> list[str]:
        """The names of the checks."""
        return list(self._checks)


class OpsServer:
    """Server of one process's health and metrics; an async context manager.

    `seconds` bounds the time to receive the head of a request, and to send the response.
    Connections beyond `max_connections` are closed without a response.
    """

    def __init__(
        self,
        health: Health,
        host: str,
        port: int,
        *,
        seconds: float = _TIMEOUT,
        max_connections: int = _MAX_CONNECTIONS,
    ) -> None:
        self._health = health
        self._host = host
        self._port = port
        self._seconds = seconds
        self._max_connections = max_connections
        self._connections = 0
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port: the actual one once the server listens."""
        if self._server is None:
            return self._port
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        """Start listening."""
        self._server = await asyncio.start_server(
            self._serve, self._host, self._port, limit=_MAX_REQUEST
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections <= self._max_connections:
                await self._exchange(reader, writer)
        except (OSError, ValueError, TimeoutError, asyncio.LimitOverrunError, EOFError):
            pass  # the probe has disconnected, or sent no HTTP
        finally:
            self._connections -= 1
            # A plain close would wait for a client that never reads.
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one request and close; raises ValueError unless it is HTTP/1."""
        async with asyncio.timeout(self._seconds):
            head = await reader.readuntil(b"\r\n\r\n")
        method, target, version = head.split(b"\r\n", 1)[0].decode().split(" ")
        if version not in {"HTTP/1.0", "HTTP/1.1"}:
            raise ValueError(version)
        status, kind, body = await self._answer(method, target)
        writer.write(
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        )
        if method != "HEAD":
            writer.write(body)
        writer.close()
        async with asyncio.timeout(self._seconds):
            await writer.wait_closed()

    async def _answer(self, method: str, target: str) -> tuple[int, str, bytes]:
        path, _, query = target.partition("?")
        if method not in {"GET", "HEAD"}:
            return 405, "text/plain", b"only GET\n"
        if path == "/metrics":
            EVENT_LOOP_TASKS.set(len(asyncio.all_tasks()))
            return 200, "text/plain; version=0.0.4; charset=utf-8", generate_latest(REGISTRY)
        if path == "/livez":
            stopped = self._health.stopped_hearts()
            return (503 if stopped else 200), "text/plain", _lines(dict.fromkeys(stopped, "silent"))
        if path == "/readyz":
            fp(f"ops.{self.port}")  # a test blocks the event loop of this process here
            faults = await self._health.faults()
            shown = dict(faults)
            if query == "verbose":
                shown = dict.fromkeys(self._health.parts, "ok") | faults
            return (503 if faults else 200), "text/plain", _lines(shown)
        return 404, "text/plain", b"/livez, /readyz, /readyz?verbose, /metrics\n"


async def _fault_of(check: Check) -> str:
    try:
        async with asyncio.timeout(_TIMEOUT / 2):
            await check()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        return str(error) or type(error).__name__
    return ""


def _lines(parts: dict[str, str]) -> bytes:
    return "".join(f"{name}: {say}\n" for name, say in parts.items()).encode() or b"ok\n"
