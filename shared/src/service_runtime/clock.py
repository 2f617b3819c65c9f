"""Clocks as injected dependencies: the only module that reads the machine's time."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Source of the time of a process."""

    def now(self) -> datetime:
        """Return the current time, timezone-aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return monotonic seconds since an arbitrary start."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Return the machine's wall clock in UTC."""
        return datetime.now(UTC)  # noqa: TID251 - here and nowhere else

    def monotonic(self) -> float:
        """Return the machine's monotonic clock, in seconds."""
        return time.monotonic()


def rfc3339(moment: datetime) -> str:
    """Return a timezone-aware time as RFC 3339 text: UTC, microseconds, `Z` at the end."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
