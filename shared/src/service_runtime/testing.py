"""Stand-ins for the world, shipped beside the real thing."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from service_runtime.clock import SystemClock


class ManualClock:
    """A clock that moves when it is told to."""

    def __init__(self, start: datetime = datetime(2026, 3, 1, 12, tzinfo=UTC)) -> None:
        self._now = start
        self._elapsed = 0.0

    def now(self) -> datetime:
        """Return the moment that the test has set."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds that the test has let pass."""
        return self._elapsed

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass on both clocks."""
        self._now += timedelta(seconds=seconds)
        self._elapsed += seconds


async def eventually(
    holds: Callable[[], Awaitable[object]],
    says: str,
    *,
    seconds: float = 60.0,
    every: float = 0.05,
) -> None:
    """Ask until the answer is true; AssertionError with the sentence at the deadline."""
    clock = SystemClock()
    deadline = clock.monotonic() + seconds
    while not await holds():
        assert clock.monotonic() < deadline, f"not within {seconds:g} s: {says}"  # noqa: S101
        await asyncio.sleep(every)
