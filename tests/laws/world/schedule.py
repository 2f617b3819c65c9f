"""Time and order, in the hands of whoever explores: a loop that never waits, and bytes that decide.

When nothing in the process can go on by itself, the loop asks `idle` what happens next: an answer
of the outside world, a fault, or the passing of time. The same bytes give the same run.
"""

import asyncio
from collections.abc import Callable
from typing import Any


class Schedule:
    """Decisions, one byte each; zero, the most ordinary one, when they are used up."""

    def __init__(self, decisions: bytes) -> None:
        self._decisions = decisions
        self._at = 0

    @property
    def used_up(self) -> bool:
        """Whether everything from here on is ordinary."""
        return self._at >= len(self._decisions)

    def byte(self) -> int:
        """Return the next decision, from 0 to 255."""
        if self.used_up:
            return 0
        self._at += 1
        return self._decisions[self._at - 1]

    def pick(self, number: int) -> int:
        """Return which of `number` things is chosen."""
        return self.byte() % number if number > 1 else 0


class _Nothing:
    """A selector that has never anything to tell: there are no sockets here."""

    def __init__(self, idle: Callable[[float | None], None]) -> None:
        self._idle = idle

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None or timeout > 0:
            self._idle(timeout)
        return []


class SteppedLoop(asyncio.BaseEventLoop):
    """An event loop whose clock stands still until `pass_time`.

    `idle(seconds)` is called when nobody can go on; the next timer is that far away (None: none).
    """

    def __init__(self, idle: Callable[[float | None], None]) -> None:
        super().__init__()
        self._now = 1_000.0
        self._selector = _Nothing(idle)

    def time(self) -> float:
        """Return the seconds of this loop."""
        return self._now

    def pass_time(self, seconds: float) -> None:
        """Let so much time pass."""
        self._now += max(0.0, seconds) + 1e-6

    def _process_events(self, _: list[Any]) -> None:
        """Do nothing: there are none."""

    def _write_to_self(self) -> None:
        """Do nothing: nobody is asleep."""
