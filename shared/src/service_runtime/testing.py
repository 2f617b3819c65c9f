"""Test tools: a clock under control, waiting for a condition, cost of event-loop steps."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Self

from service_runtime.clock import SystemClock


class ManualClock:
    """Clock that moves only by `advance`."""

    def __init__(self, start: datetime = datetime(2026, 3, 1, 12, tzinfo=UTC)) -> None:
        self._now = start
        self._elapsed = 0.0

    def now(self) -> datetime:
        """Return the time that the test has set, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds that the test has advanced."""
        return self._elapsed

    def advance(self, seconds: float) -> None:
        """Advance both clocks by `seconds`."""
        self._now += timedelta(seconds=seconds)
        self._elapsed += seconds


async def eventually(
    holds: Callable[[], Awaitable[object]],
    says: str,
    *,
    seconds: float = 60.0,
    every: float = 0.05,
) -> None:
    """Await `holds` until it is true; raise AssertionError with `says` after `seconds`."""
    clock = SystemClock()
    deadline = clock.monotonic() + seconds
    while not await holds():
        assert clock.monotonic() < deadline, f"not within {seconds:g} s: {says}"  # noqa: S101
        await asyncio.sleep(every)


class LoopSteps:
    """Measurement of the steps of one asyncio loop: the largest use of one step.

    `used` returns a growing number, such as `time.thread_time` or a count of calls; it is read in
    the loop's own thread. It works for asyncio's own loop only: other loops have no `Handle`s.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, used: Callable[[], float]) -> None:
        self._loop = loop
        self._used = used
        self.longest = 0.0
        self.longest_step = ""

    def forget(self) -> None:
        """Reset the measurement."""
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
        """Stop measuring."""
        asyncio.Handle._run = self._original  # type: ignore[method-assign]  # noqa: SLF001
