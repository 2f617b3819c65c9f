"""A TCP proxy that breaks connections on command: one link between two processes, one port each.

It runs on an event loop in a thread of its own, so that a busy test does not slow the traffic.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Mapping

HOST = "127.0.0.1"
CHUNK = 65_536
TO_SERVER, TO_CLIENT = "to server", "to client"
BOTH = (TO_SERVER, TO_CLIENT)


class Link:
    """Path from a process to a server. `seen` counts the faults on it: the proof of a fault."""

    def __init__(self, name: str, port: int, target: int) -> None:
        self.name = name
        self.port = port
        self.target = target
        self.seen: Counter[str] = Counter()
        #: Number of accepted connections: it shows repeated attempts.
        self.taken = 0
        self._flows = {direction: asyncio.Event() for direction in BOTH}
        self._delay = 0.0
        self._slams = False
        self._cut: int | None = None
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        for flow in self._flows.values():
            flow.set()

    async def listen(self) -> None:
        """Accept connections; a listening link stays unchanged."""
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, HOST, self.port)

    async def flow(self) -> None:
        """Let all data pass again; held data arrives late, as after a repaired cable."""
        self._delay, self._cut, self._slams = 0.0, None, False
        for flow in self._flows.values():
            flow.set()
        await self.listen()

    async def refuse(self) -> None:
        """Refuse new connections and end the open ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.reset()

    async def slam(self) -> None:
        """End open connections; accept, count and end each new one."""
        self._slams = True
        await self.listen()
        await self.reset()

    async def blackhole(self, directions: Iterable[str] = BOTH) -> None:
        """Drop all data in these directions silently."""
        for direction in directions:
            self._flows[direction].clear()

    async def delay(self, seconds: float) -> None:
        """Hold each chunk for so long, in each direction."""
        self._delay = seconds

    async def reset(self) -> None:
        """End all open connections with a reset."""
        for writer in list(self._open):
            self.seen["reset"] += 1
            _reset(writer)

    async def cut(self, length: int) -> None:
        """Pass so many bytes of the next response, then reset its connection."""
        self._cut = length

    async def close(self) -> None:
        """End everything."""
        await self.flow()
        await self.refuse()

    async def _connected(self, near: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        self.taken += 1
        if self._slams:
            self.seen["slammed"] += 1
            _reset(answers)
            return
        self._open.add(answers)
        requests: asyncio.StreamWriter | None = None
        try:
            await self._wait(TO_SERVER)
            far, requests = await asyncio.open_connection(HOST, self.target)
            self._open.add(requests)
            ways = (
                asyncio.create_task(self._pump(near, requests, TO_SERVER)),
                asyncio.create_task(self._pump(far, answers, TO_CLIENT)),
            )
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            self.seen["not connected"] += 1
        finally:
            for writer in (answers, requests):
                if writer is not None:
                    self._open.discard(writer)
                    writer.close()

    async def _wait(self, direction: str) -> None:
        if not self._flows[direction].is_set():
            self.seen[f"held {direction}"] += 1
            await self._flows[direction].wait()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, direction: str
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK):
                if self._delay:
                    self.seen["delayed"] += 1
                    await asyncio.sleep(self._delay)
                await self._wait(direction)
                if direction == TO_CLIENT and self._cut is not None:
                    data, self._cut = data[: self._cut], None
                    self.seen["cut"] += 1
                    sink.write(data)
                    await sink.drain()
                    _reset(sink)
                    return
                sink.write(data)
                await sink.drain()


async def _ended() -> None:
    """Wait until the remaining tasks of this loop have ended: their connections were reset."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=5)


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Links:
    """All links of a system by name, controlled from outside their thread. A context manager."""

    def __init__(self, targets: Mapping[str, tuple[int, int]]) -> None:
        self._targets = dict(targets)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="proxy")
        self._links: dict[str, Link] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        for name, (port, target) in self._targets.items():
            self._links[name] = Link(name, port, target)
            self._do(self._links[name].listen())
        return self

    def __exit__(self, *_: object) -> None:
        for link in self._links.values():
            self._do(link.close())
        self._do(_ended())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def matching(self, *parts: str) -> list[str]:
        """Return the names of the links that contain any of these words, all without one."""
        return [name for name in self._links if not parts or any(part in name for part in parts)]

    def seen(self, names: Iterable[str]) -> Counter[str]:
        """Return the total of the faults on these links."""
        return sum((Counter(self._links[name].seen) for name in names), Counter())

    def taken(self, names: Iterable[str]) -> int:
        """Return the total of the accepted connections of these links."""
        return sum(self._links[name].taken for name in names)

    def lead(self, names: Iterable[str], target: int) -> None:
        """Route new connections on these links to another port of this machine; open ones end."""
        for name in names:
            self._links[name].target = target
            self._do(self._links[name].reset())

    def flow(self, names: Iterable[str] | None = None) -> None:
        """Heal these links, all by default."""
        for name in self._links if names is None else names:
            self._do(self._links[name].flow())

    def refuse(self, names: Iterable[str]) -> None:
        """Refuse and end connections on these links."""
        for name in names:
            self._do(self._links[name].refuse())

    def slam(self, names: Iterable[str]) -> None:
        """Accept connections on these links and end each at once."""
        for name in names:
            self._do(self._links[name].slam())

    def blackhole(self, names: Iterable[str], directions: Iterable[str] = BOTH) -> None:
        """Drop the data on these links."""
        for name in names:
            self._do(self._links[name].blackhole(tuple(directions)))

    def delay(self, names: Iterable[str], seconds: float) -> None:
        """Slow these links."""
        for name in names:
            self._do(self._links[name].delay(seconds))

    def reset(self, names: Iterable[str]) -> None:
        """Reset the open connections on these links."""
        for name in names:
            self._do(self._links[name].reset())

    def cut(self, name: str, length: int) -> None:
        """Cut the next response on a link after so many bytes."""
        self._do(self._links[name].cut(length))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)
