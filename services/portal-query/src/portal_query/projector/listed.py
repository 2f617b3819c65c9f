"""A customer's stream, read event by event, each checked against the previous one. Pure."""

from collections.abc import Collection
from dataclasses import dataclass, field

from portal_query.counting import Tally, UncountableError
from portal_query.projector.arrived import Arrived
from portal_query.projector.batch import row_of
from portal_query.read_model.rows import EventRow
from repair_events.event import MAJOR, BadEventError, Event, decode, fact_of
from repair_events.repair import Customer


class UnfoldableError(Exception):
    """A stream that cannot be folded beyond the last event read. The message gives the reason."""


@dataclass(slots=True)
class Listed:
    """The part of a customer's stream that has been read, from its start to `revision`.

    `ids` holds the event ids of the revisions in `wanted`. Once `trouble` is set, no further event
    can be folded. When `lost` is set too, the events before it are not known either.
    """

    customer_id: int
    tally: Tally
    wanted: Collection[int] = ()
    revision: int = 0
    event_id: str | None = None
    accepted_at: str | None = None
    profile: Customer | None = None
    trouble: str | None = None
    lost: bool = False
    ids: dict[int, str] = field(default_factory=dict)

    def take(self, line: bytes) -> EventRow | None:
        """Fold the next event. Return its row, None when it concerns no repair.

        `line` is the event's JSON. Raises UnfoldableError when the event does not continue the
        stream or cannot be counted. The state is unchanged then.
        """
        expected = self.revision + 1
        try:
            event = decode(line)
            fact, major = fact_of(event.type)
        except BadEventError as error:
            raise UnfoldableError(f"revision {expected}: {error}") from error
        if major != MAJOR:
            raise UnfoldableError(f"revision {expected} is of the unknown version v{major}")
        self._check(event, expected)
        row = self._row(event, fact)
        if event.data.customer is not None:
            self.profile = event.data.customer
        self.revision, self.event_id, self.accepted_at = expected, event.id, event.time
        if expected in self.wanted:
            self.ids[expected] = event.id
        return row

    def has(self, suspect: Arrived) -> bool | None:
        """Return whether the stream holds this event. None when reading ended before it."""
        if suspect.revision > self.revision:
            return None if self.trouble else False
        return self.ids.get(suspect.revision) == suspect.id

    def _check(self, event: Event, expected: int) -> None:
        data = event.data
        if data.customer_id != self.customer_id:
            raise UnfoldableError(f"revision {expected} is of customer {data.customer_id}")
        if data.revision != expected:
            raise UnfoldableError(f"revision {expected} is missing, {data.revision} follows")
        if data.previous != self.event_id:
            raise UnfoldableError(f"revision {expected} does not follow revision {self.revision}")

    def _row(self, event: Event, fact: str) -> EventRow | None:
        repair = event.data.repair
        if repair is None:
            return None
        try:
            placed = self.tally.add(repair)
        except UncountableError as error:
            raise UnfoldableError(f"revision {event.data.revision}: {error}") from error
        return row_of(event, repair, fact, placed)
