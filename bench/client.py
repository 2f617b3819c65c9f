"""Load client for machines without wrk: raw sockets, keep-alive, one process.

Run as `python -m bench.client load.json`; it prints one JSON object.
It reads responses with a Content-Length only.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from bench.figures import percentile


class Connection(asyncio.Protocol):
    """One connection; it sends the next request after a complete response."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._buffer = b""
        self._sent_at = 0.0
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast("asyncio.WriteTransport", transport)
        self._send()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002  -- the protocol's name
        """Count the missing response and open a new connection."""
        if not self._run.over():
            self._run.failures += 1
            self._run.open_again()

    def data_received(self, data: bytes) -> None:
        """Collect until a response is complete."""
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = 0
        for line in head.split(b"\r\n"):
            if line[:15].lower() == b"content-length:":
                length = int(line[15:])
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        self._run.answered(head, time.perf_counter() - self._sent_at)
        self._send()

    def _send(self) -> None:
        if self._transport is None:
            return
        if self._run.over():
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(self._run.requests.next())


class Requests:
    """Requests of a measurement: headers take turns; the body counts numbers and customers."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec
        self._turn = random.randrange(1, 100_000) * 1_000_000
        self._address = urlsplit(spec["url"])
        self._heads = [self._head(group) for group in spec["headers"]]

    @property
    def at(self) -> tuple[str, int]:
        """Return the host and the port to connect to."""
        return self._address.hostname or "", self._address.port or 80

    def next(self) -> bytes:
        """Return the next request."""
        self._turn += 1
        head = self._heads[self._turn % len(self._heads)]
        customer = self._spec["first_customer"] + self._turn % self._spec["customers"]
        text = str(self._spec["body"]).replace("%d", str(self._turn)).replace("%c", str(customer))
        body = text.encode()
        if not body and self._spec["method"] == "GET":
            return head + b"\r\n"
        return head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body

    def _head(self, group: dict[str, str]) -> bytes:
        lines = [
            f"{self._spec['method']} {self._spec['path']} HTTP/1.1",
            f"Host: {self._address.netloc}",
        ]
        return (
            "\r\n".join(lines + [f"{name}: {value}" for name, value in group.items()]) + "\r\n"
        ).encode()


class Run:
    """All connections of one measurement, with their results."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.failures = 0
        self.requests = Requests(spec)
        self._spec = spec
        self._times: list[float] = []
        self._end = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    def over(self) -> bool:
        """Return whether the time is up."""
        return time.perf_counter() >= self._end

    def answered(self, head: bytes, seconds: float) -> None:
        """Record a response."""
        self._times.append(seconds * 1000)
        if head[9:10] != b"2":
            self.failures += 1

    def open_again(self) -> None:
        """Open one more connection."""
        task = asyncio.get_running_loop().create_task(self._open())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def measure(self) -> dict[str, Any]:
        """Send until the time is up and return the figures."""
        self._end = time.perf_counter() + self._spec["seconds"]
        for _ in range(self._spec["connections"]):
            self.open_again()
        await asyncio.sleep(self._spec["seconds"] + 0.5)
        return {
            "per_second": len(self._times) / self._spec["seconds"],
            "p50": percentile(self._times, 0.5),
            "p99": percentile(self._times, 0.99),
            "failures": self.failures,
        }

    async def _open(self) -> None:
        await asyncio.get_running_loop().create_connection(
            lambda: Connection(self), *self.requests.at
        )


def main() -> None:
    """Run the measurement of the file."""
    spec = json.loads(Path(sys.argv[1]).read_text())
    print(json.dumps(asyncio.run(Run(spec).measure())))


if __name__ == "__main__":
    main()
