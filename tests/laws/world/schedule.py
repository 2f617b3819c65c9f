"""Time and order under control of the explorer: a loop that never waits, and bytes that decide.

When the process is blocked, the loop calls `idle`.
It completes an outside call, injects a fault or lets time pass.
The same bytes give the same run.
"""

import asyncio
from collections.abc import Callable
from typing import Any


class Schedule:
    """Decisions, one byte each; zero, the ordinary choice, when they are used up."""

    def __init__(self, decisions: bytes) -> None:
        self._decisions = decisions
        self._at = 0

    @property
    def used_up(self) -> bool:
        """Return whether only ordinary decisions are left."""
        return self._at >= len(self._decisions)

    def byte(self) -> int:
        """Return the next decision, from 0 to 255."""
        if self.used_up:
            return 0
        self._at += 1
        return self._decisions[self._at - 1]

    def pick(self, number: int) -> int:
        """Return the index of the chosen one of `number` things."""
        return self.byte() % number if number > 1 else 0


class _Nothing:
    """A selector without events: the simulation has no sockets."""

    def __init__(self, idle: Callable[[float | None], None]) -> None:
        self._idle = idle

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None or timeout > 0:
            self._idle(timeout)
        return []


class SteppedLoop(asyncio.BaseEventLoop):
    """An event loop whose clock advances by `pass_time` only.

    The loop calls `idle(seconds)` when all tasks are blocked; the next timer is that far away
    (None: none).
    """

    def __init__(self, idle: Callable[[float | None], None]) -> None:
        super().__init__()
        self._now = 1_000.0
        self._selector = _Nothing(idle)

    def time(self) -> float:
        """Return the seconds of this loop."""
        return self._now

    def pass_time(self, seconds: float) -> None:
        """Advance the clock."""
        self._now += max(0.0, seconds) + 1e-6

    def _process_events(self, _: list[Any]) -> None:
        """Do nothing: there are no events."""

    def _write_to_self(self) -> None:
        """Do nothing: the loop never sleeps."""
