"""One lane a partition: what is under way, and which lanes are closed for a while (pure).

A lane carries one group of rows at a time, so later rows of a partition never overtake earlier
ones. A closed lane holds back its own customers only: they are remembered, so that the next reads
of the outbox pass them by and the other partitions flow.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

FIRST_BACKOFF_SECONDS: Final = 0.1
MAX_BACKOFF_SECONDS: Final = 5.0
#: More would only lead beyond all numbers.
_MAX_DOUBLINGS: Final = 16


class Row(Protocol):
    """As much of an outbox row as a lane needs to know."""

    @property
    def id(self) -> int:
        """The row's number."""
        ...

    @property
    def customer_id(self) -> int:
        """Whose event it is."""
        ...


RowT = TypeVar("RowT", bound=Row)


@dataclass(slots=True)
class Lane:
    """One partition. `singly`: a batch was refused as too large, so find out which record is."""

    partition: int
    under_way: Sequence[Row] = ()
    since: float = 0.0
    closed_until: float = 0.0
    failures: int = 0
    singly: bool = False
    passed_by: set[int] = field(default_factory=set)

    def is_open(self, now: float) -> bool:
        """Say whether the lane can take rows at `now` (monotonic seconds)."""
        return not self.under_way and now >= self.closed_until

    def start(self, rows: Sequence[Row], now: float) -> None:
        """Note that these rows are being sent."""
        self.under_way = rows
        self.since = now

    def empty(self) -> None:
        """Note that nothing is being sent any more: it arrived, or it stays in the outbox."""
        self.under_way = ()

    def succeed(self) -> None:
        """Forget earlier failures."""
        self.failures = 0
        self.singly = False

    def fail(self, now: float) -> float:
        """Close the lane for longer and longer; return for how many seconds."""
        doublings = min(self.failures, _MAX_DOUBLINGS)
        pause = min(FIRST_BACKOFF_SECONDS * 2.0**doublings, MAX_BACKOFF_SECONDS)
        self.failures += 1
        self.closed_until = now + pause
        return pause


class Lanes:
    """All lanes; `partition_of` says which one a customer takes."""

    def __init__(self, partitions: int, partition_of: Callable[[int], int]) -> None:
        self._lanes = [Lane(number) for number in range(partitions)]
        self._partition_of = partition_of

    def __getitem__(self, partition: int) -> Lane:
        return self._lanes[partition]

    def passed_by(self, now: float) -> list[int]:
        """Return the customers known to wait for closed lanes; an opened lane forgets its own."""
        waiting: list[int] = []
        for lane in self._lanes:
            if lane.is_open(now):
                lane.passed_by.clear()
            waiting.extend(lane.passed_by)
        return waiting

    def under_way(self) -> list[int]:
        """Return the ids of the rows that are being sent."""
        return [row.id for lane in self._lanes for row in lane.under_way]

    def sort(self, rows: Iterable[RowT], now: float) -> dict[int, list[RowT]]:
        """Return the rows that can go now, by partition and in their order.

        The others stay in the outbox; their customers are passed by from now on.
        """
        closed = {lane.partition for lane in self._lanes if not lane.is_open(now)}
        groups: dict[int, list[RowT]] = {}
        for row in rows:
            partition = self._partition_of(row.customer_id)
            if partition in closed:
                self._lanes[partition].passed_by.add(row.customer_id)
            else:
                groups.setdefault(partition, []).append(row)
        return groups

    def longest(self, now: float) -> float:
        """Return for how many seconds the slowest group has been under way."""
        return max((now - lane.since for lane in self._lanes if lane.under_way), default=0.0)
