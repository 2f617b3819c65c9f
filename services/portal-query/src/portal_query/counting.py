"""Counting rules: the one definition of every number that a customer sees.

Pure. A repair that is not removed counts once for its unit, once for its month and once for its
status. So the three counts of a customer always have the same sum. `place` returns the buckets of a
repair. `Tally` adds up a stream. No other code decides what is counted.
"""

from enum import IntEnum
from typing import NamedTuple

from repair_events.month import Months
from repair_events.repair import Repair
from repair_events.status import is_status


class Dimension(IntEnum):
    """A dimension of counting. The numbers are those of the table."""

    UNIT = 0
    MONTH = 1
    STATUS = 2


class Buckets(NamedTuple):
    """The buckets of a repair, in the order of `Dimension`."""

    unit: str
    month: str
    status: str


class UncountableError(ValueError):
    """A repair that cannot be counted. The message gives the reason, in one line."""


def place(repair: Repair, months: Months) -> Buckets:
    """Return the buckets of a repair, whether or not it is removed.

    Raises UncountableError for a status outside the six and for an invalid date.
    """
    if not is_status(repair.status):
        raise UncountableError(f"status {repair.status[:40]!r} is none of the six")
    try:
        return Buckets(repair.unit_number, months.month_of(repair.repair_date), repair.status)
    except (ValueError, OverflowError) as error:
        raise UncountableError(f"repair_date {repair.repair_date[:40]!r} is no moment") from error


class Tally:
    """The counts of one customer, built from one repair state after another.

    It stores only the buckets of each repair, and repairs with the same buckets share them. So a
    stream of a million repairs fits into memory.
    """

    def __init__(self, months: Months) -> None:
        self._months = months
        self._where: dict[str, Buckets | None] = {}
        self._places: dict[Buckets, Buckets] = {}
        self._counts: dict[tuple[Dimension, str], int] = {}

    def add(self, repair: Repair) -> Buckets:
        """Apply the newest state of a repair: it leaves its old buckets and enters the new ones.

        Return its buckets (`place`). Raises UncountableError. The counts are unchanged then.
        """
        placed = place(repair, self._months)
        placed = self._places.setdefault(placed, placed)
        now = None if repair.removed else placed
        before = self._where.get(repair.repair_id)
        self._where[repair.repair_id] = now
        if now != before:
            self._move(before, -1)
            self._move(now, 1)
        return placed

    def counts(self) -> dict[tuple[Dimension, str], int]:
        """Return the number in each bucket. Empty buckets are left out."""
        return {key: n for key, n in self._counts.items() if n}

    def _move(self, place: Buckets | None, step: int) -> None:
        if place is None:
            return
        for key in zip(Dimension, place, strict=True):
            self._counts[key] = self._counts.get(key, 0) + step
