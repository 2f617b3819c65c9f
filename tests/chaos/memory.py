"""Resident memory of every process, sampled during a soak: its growth and the processes that grow."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.local import control, process_id
from tests.chaos.faults import OURS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from deploy.local.layout import Place

LOOK_SECONDS = 2.0
WINDOW_SECONDS = 600.0
#: Pools and caches fill after a start.
WARM_UP_SECONDS = 60.0
#: A shorter life is too short for a trend.
SHORTEST_SECONDS = 60.0
MOST_GROWTH = 5 * 2**20
AT_EACH_END = 5


@dataclass(frozen=True)
class Life:
    """One process from its start to its end, or over its samples: bytes after warming up."""

    name: str
    pid: int
    seconds: float
    growth: int
    most: int

    @property
    def too_much(self) -> bool:
        """Return whether a process of ours grew more than allowed; servers have limits of their
        own.
        """
        return self.name in OURS and self.growth > MOST_GROWTH

    def __str__(self) -> str:
        grown, most = self.growth / 2**20, self.most / 2**20
        return f"{self.name} ({self.pid}): {grown:+.1f} MiB in {self.seconds:.0f} s, at most {most:.0f} MiB"


class Memory:
    """All samples: for each process (name and id) pairs of monotonic time and bytes."""

    def __init__(self) -> None:
        self.samples: dict[tuple[str, int], list[tuple[float, int]]] = defaultdict(list)

    def look(self, place: Place) -> None:
        """Take one sample of each process of a system."""
        now = time.monotonic()
        for found in control.processes(place):
            size = process_id.resident_bytes(found["pid"]) if found["pid"] else None
            if size:
                self.samples[found["name"], found["pid"]].append((now, size))

    def lives(self) -> list[Life]:
        """Return each long enough life within the last ten minutes."""
        end = max((samples[-1][0] for samples in self.samples.values()), default=0.0)
        found = {}
        for (name, pid), samples in self.samples.items():
            begin = max(samples[0][0] + WARM_UP_SECONDS, end - WINDOW_SECONDS)
            counted = [(at, size) for at, size in samples if at >= begin]
            if counted and counted[-1][0] - counted[0][0] >= SHORTEST_SECONDS:
                sizes = [size for _, size in counted]
                growth = statistics.median(sizes[-AT_EACH_END:]) - statistics.median(
                    sizes[:AT_EACH_END]
                )
                seconds = counted[-1][0] - counted[0][0]
                found[name, pid] = Life(name, pid, seconds, int(growth), max(sizes))
        return sorted(found.values(), key=lambda life: (life.name, life.pid))


@asynccontextmanager
async def watched(place: Place) -> AsyncIterator[Memory]:
    """Sample a system's memory while the body runs."""
    memory = Memory()

    async def look() -> None:
        while True:
            memory.look(place)
            await asyncio.sleep(LOOK_SECONDS)

    looking = asyncio.create_task(look())
    try:
        yield memory
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
