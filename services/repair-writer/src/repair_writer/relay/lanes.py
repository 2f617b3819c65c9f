"""The state of each partition: rows in flight, and partitions in backoff (pure).

A lane sends one group of rows at a time, which preserves the order within a partition.
A closed lane delays only its own customers. Their ids are excluded from the next reads of the
outbox, so the other partitions continue.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from service_runtime.backoff import delay_seconds

MAX_BACKOFF_SECONDS: Final = 5.0


class Row(Protocol):
    """The fields of an outbox row that a lane uses."""

    @property
    def id(self) -> int:
        """Return the id of the row."""
        ...

    @property
    def customer_id(self) -> int:
        """Return the customer of the event."""
        ...


RowT = TypeVar("RowT", bound=Row)


@dataclass(slots=True)
class Lane:
    """One partition.

    `singly` means that Kafka rejected a batch as too large: its records are sent one by one.
    """

    partition: int
    under_way: Sequence[Row] = ()
    since: float = 0.0
    closed_until: float = 0.0
    failures: int = 0
    singly: bool = False
    passed_by: set[int] = field(default_factory=set)

    def is_open(self, now: float) -> bool:
        """Return whether the lane can take rows at `now` (monotonic seconds)."""
        return not self.under_way and now >= self.closed_until

    def start(self, rows: Sequence[Row], now: float) -> None:
        """Record that these rows are in flight since `now` (monotonic seconds)."""
        self.under_way = rows
        self.since = now

    def empty(self) -> None:
        """Record that no row is in flight. Rows without acknowledgement stay in the outbox."""
        self.under_way = ()

    def succeed(self) -> None:
        """Reset the backoff and the sending one by one."""
        self.failures = 0
        self.singly = False

    def fail(self, now: float) -> float:
        """Close the lane with exponential backoff from `now`. Return the seconds.

        The backoff grows from 0.1 to 5 seconds.
        """
        pause = delay_seconds(self.failures, longest=MAX_BACKOFF_SECONDS)
        self.failures += 1
        self.closed_until = now + pause
        return pause


class Lanes:
    """All lanes. `partition_of` maps a customer id to its partition."""

    def __init__(self, partitions: int, partition_of: Callable[[int], int]) -> None:
        self._lanes = [Lane(number) for number in range(partitions)]
        self._partition_of = partition_of

    def __getitem__(self, partition: int) -> Lane:
        return self._lanes[partition]

    def passed_by(self, now: float) -> list[int]:
        """Return the customers known to wait for closed lanes. An open lane clears its own."""
        waiting: list[int] = []
        for lane in self._lanes:
            if lane.is_open(now):
                lane.passed_by.clear()
            waiting.extend(lane.passed_by)
        return waiting

    def under_way(self) -> list[int]:
        """Return the ids of the rows in flight."""
        return [row.id for lane in self._lanes for row in lane.under_way]

    def sort(self, rows: Iterable[RowT], now: float) -> dict[int, list[RowT]]:
        """Return the rows of open lanes, by partition and in their order.

        Other rows stay in the outbox. The next reads exclude their customers.
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
        """Return how long the oldest group has been in flight, in seconds. 0 if there is none."""
        return max((now - lane.since for lane in self._lanes if lane.under_way), default=0.0)
