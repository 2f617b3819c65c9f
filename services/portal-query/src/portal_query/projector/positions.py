"""How far each of our partitions has come: read, applied, published. Pure.

All offsets are of the next record. Whenever reading begins anew (an assignment, offsets that were
set back, a new topic) the partition gets a new epoch, and what was read before counts for nothing
any more: it will be applied, which never does harm, but it proves nothing about the new epoch.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Mark(NamedTuple):
    """Up to where a partition has been read, and in which epoch."""

    epoch: int
    offset: int


@dataclass(slots=True)
class _Position:
    epoch: int
    read: int | None = None
    applied: int | None = None
    published: int | None = None


class Positions:
    """The partitions that are ours now."""

    def __init__(self) -> None:
        self._epoch = 0
        self._of: dict[int, _Position] = {}

    def forget(self) -> None:
        """Know nothing: all partitions were taken away."""
        self._of = {}

    def keep(self, partitions: Iterable[int]) -> None:
        """Say which partitions are ours."""
        self._of = {p: self._of.get(p) or self._new() for p in partitions}

    def partitions(self) -> list[int]:
        """Return our partitions."""
        return sorted(self._of)

    def has(self, partition: int) -> bool:
        """Say whether a partition is ours."""
        return partition in self._of

    def read(self, partition: int, first: int, following: int) -> tuple[Mark, bool]:
        """Note that records from `first` to before `following` were read.

        Returns the mark they carry, and False when they do not follow what was read before:
        something was skipped, or the offsets were set back.
        """
        position = self._of.get(partition)
        follows = position is None or position.read in {None, first}
        if position is None or not follows:
            position = self._of[partition] = self._new()
        position.read = following
        return Mark(position.epoch, following), follows

    def begin_anew(self, partition: int) -> None:
        """Start a new epoch of a partition of ours."""
        if partition in self._of:
            self._of[partition] = self._new()

    def applied(self, marks: Mapping[int, Mark]) -> None:
        """Note that what was read up to these marks is in Postgres."""
        for position, offset in self._current(marks):
            position.applied = offset

    def published(self, marks: Mapping[int, Mark]) -> None:
        """Note that what was read up to these marks is in Redis as well."""
        for position, offset in self._current(marks):
            position.published = offset

    def stands(self, partition: int, at: int) -> bool:
        """Note where the consumer stands in a partition of which nothing is on its way.

        Nothing is done while something is on its way. Returns False when the consumer does not
        stand where it stopped reading: it was sent somewhere else.
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
        """Return up to where a partition has been read, None when that is not known."""
        position = self._of.get(partition)
        return None if position is None else position.read

    def applied_to(self, partition: int) -> int | None:
        """Return up to where a partition is in Postgres, None when that is not known."""
        position = self._of.get(partition)
        return None if position is None else position.applied

    def published_to(self, partition: int) -> int | None:
        """Return up to where a partition is in Redis, None when that is not known."""
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
