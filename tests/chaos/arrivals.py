"""Open-loop load: requests arrive at a fixed rate, whether or not earlier ones were answered.

Run as `python -m tests.chaos.arrivals spec.json`; it prints one JSON object.
It is a process of its own, so that its event loop does not slow the measuring process.
Connections, the wait for a response and the whole run are bounded.
Without a rate it is a closed loop: a connection sends again after each complete response.
A closed loop measures the capacity.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any, Final, cast

import uvloop
from bench.client import Requests
from bench.figures import percentile

TICK_SECONDS: Final = 0.002
_CODE: Final = re.compile(rb'"code":\s*"([a-z-]+)"')
_REASON: Final = re.compile(rb"(?i)\r\nportal-reason: *([a-z-]+)")
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length:\s*(\d+)")
_RETRY_AFTER: Final = re.compile(rb"(?i)\r\nretry-after:\s*\d+")
_CLOSES: Final = re.compile(rb"(?i)\r\nconnection:\s*close")
_CHUNKED: Final = re.compile(rb"(?i)\r\ntransfer-encoding:\s*chunked")
_LAST_CHUNK: Final = b"0\r\n\r\n"
_EMPTY: Final = frozenset({204, 304})


class Caller(asyncio.Protocol):
    """One connection.

    It carries one request at a time and measures from the arrival of that request.
    """

    def __init__(self, run: Run, arrived: float) -> None:
        self.arrived = arrived
        self.transport: asyncio.Transport | None = None
        self._run = run
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request for which the connection was opened."""
        self.transport = cast("asyncio.Transport", transport)
        self.send(self.arrived)

    def send(self, arrived: float) -> None:
        """Send the next request; `arrived` is its due time (seconds of `time.perf_counter`)."""
        self.arrived = arrived
        if self.transport is not None:
            self.transport.write(self._run.requests.next())

    def data_received(self, data: bytes) -> None:
        """Collect until a response is complete."""
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._buffer[: end + 2])
        if not self._is_whole(head, end + 4):
            return
        body = bytes(self._buffer[end + 4 :])
        self._buffer.clear()
        self._run.answered(self, head, body)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002  -- the protocol's name
        """Count the missing response."""
        self._run.lost(self)

    def _is_whole(self, head: bytes, start: int) -> bool:
        if int(head[9:12]) in _EMPTY:
            return True
        length = _LENGTH.search(head)
        if length is not None:
            return len(self._buffer) - start >= int(length[1])
        return _CHUNKED.search(head) is None or self._buffer.endswith(_LAST_CHUNK)


class Run:
    """All callers of one measurement, with the counts of their results."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.requests = Requests(spec)
        self._rate: float | None = spec["rate"]
        self._seconds: float = spec["seconds"]
        self._most: int = spec["connections"]
        self._patience: float = spec["patience"]
        self._open: set[Caller] = set()
        self._idle: deque[Caller] = deque()
        #: In the order of their arrival: the first one has waited longest.
        self._busy: dict[Caller, None] = {}
        self._connecting: set[asyncio.Task[None]] = set()
        self._began = self._end = 0.0
        self._counts: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._served_seconds: list[float] = []
        self._refused_seconds: list[float] = []

    async def measure(self) -> dict[str, Any]:
        """Send until the time is up, wait for pending requests, and return the figures."""
        self._began = time.perf_counter()
        self._end = self._began + self._seconds
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._end_now)
        if self._rate is None:
            for _ in range(self._most):
                self._arrive(self._began)
        arrived = 0
        while (now := time.perf_counter()) < self._end:
            if self._rate is not None:
                due = int((now - self._began) * self._rate)
                for _ in range(due - arrived):
                    self._arrive(now)
                arrived = due
            self._give_up(now)
            await asyncio.sleep(TICK_SECONDS)
        while (self._busy or self._connecting) and time.perf_counter() < self._end + self._patience:
            self._give_up(time.perf_counter())
            await asyncio.sleep(TICK_SECONDS)
        return self._figures()

    def answered(self, caller: Caller, head: bytes, body: bytes) -> None:
        """Record a response; in a closed loop the caller sends again at once."""
        if caller not in self._busy:
            return
        del self._busy[caller]
        now = time.perf_counter()
        status = int(head[9:12])
        if status < 400:
            self._served_seconds.append(now - caller.arrived)
        else:
            self._note_refusal(status, head, body)
            self._refused_seconds.append(now - caller.arrived)
        if _CLOSES.search(head) is not None:
            self._close(caller)
        else:
            self._idle.append(caller)
        if self._rate is None and now < self._end:
            self._arrive(now)

    def lost(self, caller: Caller) -> None:
        """Count a request whose connection ended before its response."""
        self._open.discard(caller)
        if caller in self._busy:
            del self._busy[caller]
            self._counts["broken"] += 1
            if self._rate is None and time.perf_counter() < self._end:
                self._arrive(time.perf_counter())

    def _note_refusal(self, status: int, head: bytes, body: bytes) -> None:
        code = _CODE.search(body) or _REASON.search(head)  # the documented lists have no code
        self._refused[f"{status} {code[1].decode() if code else ''}".strip()] += 1
        self._counts["without retry-after"] += _RETRY_AFTER.search(head) is None

    def _arrive(self, now: float) -> None:
        """Send one request over an idle connection, else over a new one."""
        while self._idle:
            caller = self._idle.popleft()
            if caller in self._open:
                self._counts["offered"] += 1
                self._busy[caller] = None
                caller.send(now)
                return
        if len(self._open) >= self._most:
            self._counts["unsent"] += 1
            return
        self._counts["offered"] += 1
        caller = Caller(self, now)
        self._open.add(caller)
        self._busy[caller] = None
        task = asyncio.get_running_loop().create_task(self._connect(caller))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, caller: Caller) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: caller, *self.requests.at)
        except OSError:
            self.lost(caller)

    def _give_up(self, now: float) -> None:
        """Count the requests that have waited too long, and close their connections."""
        while self._busy:
            caller = next(iter(self._busy))
            if now - caller.arrived < self._patience:
                return
            del self._busy[caller]
            self._counts["unanswered"] += 1
            self._close(caller)

    def _close(self, caller: Caller) -> None:
        self._open.discard(caller)
        if caller.transport is not None:
            caller.transport.abort()

    def _end_now(self) -> None:
        self._end = min(self._end, time.perf_counter())
        self._seconds = self._end - self._began

    def _figures(self) -> dict[str, Any]:
        return {
            "offered": self._counts["offered"],
            "unsent": self._counts["unsent"],
            "seconds": self._seconds,
            "served": len(self._served_seconds),
            "refused": dict(self._refused),
            "without_retry_after": self._counts["without retry-after"],
            "broken": self._counts["broken"],
            "unanswered": self._counts["unanswered"] + len(self._busy),
            "served_seconds": _spread(self._served_seconds),
            "refused_seconds": _spread(self._refused_seconds),
        }


def _spread(seconds: list[float]) -> list[float]:
    """Return median, 99th percentile and maximum."""
    if not seconds:
        return [0.0, 0.0, 0.0]
    return [percentile(seconds, 0.5), percentile(seconds, 0.99), max(seconds)]


def main() -> None:
    """Run the measurement of the file."""
    spec = json.loads(Path(sys.argv[1]).read_text())
    sys.stdout.write(json.dumps(uvloop.run(Run(spec).measure())) + "\n")


if __name__ == "__main__":
    main()
