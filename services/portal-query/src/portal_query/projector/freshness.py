"""Watermarks: the times until which partitions have been published, never later than the truth.

Each second two things are read in this order. The first is the time before which every accepted
change is on Kafka. The second is the end offsets. When publishing has passed these offsets, every
change accepted before that time is visible. After a discontinuity the watermark stops until the
heads have been compared.
"""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from portal_query.projector.positions import Positions

_MARKS: Final = 600


class _Sent(NamedTuple):
    until: datetime
    end: int


@dataclass(slots=True)
class _Watch:
    """One partition since its last discontinuity. Each discontinuity has its own `number`."""

    number: int
    compared: bool = False
    applied_until: datetime | None = None
    published_until: datetime | None = None
    to_apply: deque[_Sent] = field(default_factory=deque)
    to_publish: deque[_Sent] = field(default_factory=deque)


class Freshness:
    """The watermarks of the assigned partitions; values only, no clock, no I/O."""

    def __init__(self, positions: Positions) -> None:
        self._positions = positions
        self._watches: dict[int, _Watch] = {}
        self._number = 0
        self._refused: int | None = None

    def assigned(self, partitions: Collection[int]) -> None:
        """Track these partitions from now on, and no others."""
        self._watches = {p: self._watch() for p in partitions}

    def broken(self, partition: int) -> None:
        """Stop a partition's watermark until its heads have been compared."""
        if partition in self._watches:
            self._watches[partition] = self._watch()

    def all_broken(self) -> None:
        """Stop all watermarks until the heads have been compared."""
        for partition in list(self._watches):
            self.broken(partition)

    def refused(self, rows: int) -> None:
        """Record how many events Kafka has refused for good.

        A change of this number is a discontinuity of all partitions. A refused event never
        arrives, and only its customer's head reveals it.
        """
        if rows != self._refused:
            self._refused = rows
            self.all_broken()

    def sent(self, until: datetime, ends: dict[int, int]) -> None:
        """Record end offsets that were read after every change before `until` was on Kafka."""
        for partition, end in ends.items():
            watch = self._watches.get(partition)
            if watch is None:
                continue
            if watch.to_publish and end < watch.to_publish[-1].end:
                self.broken(partition)  # records were lost; others may take their offsets
                continue
            for waiting in (watch.to_apply, watch.to_publish):
                if len(waiting) >= _MARKS:
                    waiting.pop()
                waiting.append(_Sent(until, end))

    def advance(self) -> None:
        """Advance the watermarks to the applied and published offsets."""
        for partition, watch in self._watches.items():
            passed = _passed(watch.to_apply, self._positions.applied_to(partition))
            watch.applied_until = passed or watch.applied_until
            passed = _passed(watch.to_publish, self._positions.published_to(partition))
            watch.published_until = passed or watch.published_until

    def as_of(self) -> dict[int, datetime]:
        """Return the published watermarks of the partitions with compared heads."""
        return {
            p: watch.published_until
            for p, watch in self._watches.items()
            if watch.compared and watch.published_until is not None
        }

    def applied_until(self) -> dict[int, datetime]:
        """Return until when each partition is in Postgres, by Kafka's offsets alone."""
        return {
            p: watch.applied_until
            for p, watch in self._watches.items()
            if watch.applied_until is not None
        }

    def uncompared(self) -> dict[int, int]:
        """Return the partitions with heads to compare, and the number to pass to `compared`."""
        return {p: watch.number for p, watch in self._watches.items() if not watch.compared}

    def compared(self, breaks: dict[int, int]) -> None:
        """Release the watermarks of compared partitions, unless they broke again meanwhile."""
        for partition, number in breaks.items():
            watch = self._watches.get(partition)
            if watch is not None and watch.number == number:
                watch.compared = True

    def ready(self) -> bool:
        """Return whether the heads of all assigned partitions have been compared."""
        return all(watch.compared for watch in self._watches.values())

    def _watch(self) -> _Watch:
        self._number += 1
        return _Watch(self._number)


def _passed(waiting: deque[_Sent], position: int | None) -> datetime | None:
    until = None
    while waiting and position is not None and position >= waiting[0].end:
        until = waiting.popleft().until
    return until
