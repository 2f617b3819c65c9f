"""Stand-ins for the world, shipped beside the real thing."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Self

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


class LoopSteps:
    """Measures the steps of one asyncio loop: how much of something the longest of them used.

    `used` is a number that only grows, such as `time.thread_time` or a count of calls; it is read
    in the loop's own thread. Works for asyncio's own loop alone: others are not made of `Handle`s.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, used: Callable[[], float]) -> None:
        self._loop = loop
        self._used = used
        self.longest = 0.0
        self.longest_step = ""

    def forget(self) -> None:
        """Begin anew."""
        self.longest, self.longest_step = 0.0, ""

    def __enter__(self) -> Self:
        """Measure every step from now on."""
        self._original = asyncio.Handle._run  # noqa: SLF001 - the one place all steps pass

        def run(handle: asyncio.Handle) -> None:
            if handle._loop is not self._loop:  # type: ignore[attr-defined]  # noqa: SLF001
                self._original(handle)
                return
            before = self._used()
            self._original(handle)
            self._note(self._used() - before, handle)

        asyncio.Handle._run = run  # type: ignore[method-assign,assignment]  # noqa: SLF001
        return self

    def _note(self, used: float, handle: asyncio.Handle) -> None:
        if used > self.longest:
            self.longest, self.longest_step = used, repr(handle)

    def __exit__(self, *_: object) -> None:
        """Measure no more."""
        asyncio.Handle._run = self._original  # type: ignore[method-assign]  # noqa: SLF001
