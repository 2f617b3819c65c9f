"""The positions of the assigned partitions: read, applied, published. Pure.

All offsets are those of the next record. A partition gets a new `epoch` whenever reading restarts:
after an assignment, a reset of offsets, or a new topic. Records of an earlier `epoch` are applied,
which never does harm. They prove nothing about the new one.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Mark(NamedTuple):
    """The position up to which a partition has been read, and its `epoch`."""

    epoch: int
    offset: int


@dataclass(slots=True)
class _Position:
    epoch: int
    read: int | None = None
    applied: int | None = None
    published: int | None = None


class Positions:
    """The assigned partitions and their positions."""

    def __init__(self) -> None:
        self._epoch = 0
        self._of: dict[int, _Position] = {}

    def forget(self) -> None:
        """Remove all partitions: they were revoked."""
        self._of = {}

    def keep(self, partitions: Iterable[int]) -> None:
        """Set the assigned partitions. Those already present retain their positions."""
        self._of = {p: self._of.get(p) or self._new() for p in partitions}

    def partitions(self) -> list[int]:
        """Return the assigned partitions, ascending."""
        return sorted(self._of)

    def has(self, partition: int) -> bool:
        """Return whether a partition is assigned."""
        return partition in self._of

    def read(self, partition: int, first: int, following: int, records: int) -> tuple[Mark, bool]:
        """Record that so many records, from offset `first` to before `following`, were read.

        Return their mark, and False when they do not continue the previous read or each other.
        Then offsets were skipped, lost or reset. The topic is neither compacted nor written in
        transactions, so every gap in its offsets is a loss.
        """
        position = self._of.get(partition)
        complete = records == following - first
        follows = position is None or (complete and position.read in {None, first})
        if position is None or not follows:
            position = self._of[partition] = self._new()
        position.read = following
        return Mark(position.epoch, following), follows

    def begin_anew(self, partition: int) -> None:
        """Start a new `epoch` of an assigned partition."""
        if partition in self._of:
            self._of[partition] = self._new()

    def applied(self, marks: Mapping[int, Mark]) -> None:
        """Record that everything read up to these marks is in Postgres."""
        for position, offset in self._current(marks):
            position.applied = offset

    def published(self, marks: Mapping[int, Mark]) -> None:
        """Record that everything read up to these marks is also in Redis."""
        for position, offset in self._current(marks):
            position.published = offset

    def stands(self, partition: int, at: int) -> bool:
        """Record the consumer's position in a partition with no records in transit.

        Do nothing while records are in transit. Return False when the consumer is not where
        reading stopped: its position was changed.
        """
        position = self._of.get(partition)
        if position is None or position.read != position.published:
            return True
        follows = position.read in {None, at}
        if not follows:
            position = self._of[partition] = self._new()
        position.read = position.applied = position.published = at
        return follows

    def read_to(self, partition: int) -> int | None:
        """Return the offset up to which a partition has been read, None when it is not known."""
        position = self._of.get(partition)
        return None if position is None else position.read

    def applied_to(self, partition: int) -> int | None:
        """Return the offset up to which a partition is in Postgres, None when it is not known."""
        position = self._of.get(partition)
        return None if position is None else position.applied

    def published_to(self, partition: int) -> int | None:
        """Return the offset up to which a partition is in Redis, None when it is not known."""
        position = self._of.get(partition)
        return None if position is None else position.published

    def _new(self) -> _Position:
        self._epoch += 1
        return _Position(self._epoch)

    def _current(self, marks: Mapping[int, Mark]) -> Iterator[tuple[_Position, int]]:
        for partition, mark in marks.items():
            position = self._of.get(partition)
            if position is not None and position.epoch == mark.epoch:
                yield position, mark.offset
