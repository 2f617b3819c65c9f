"""Appending to the streams of customers: the only code that assigns revisions.

The caller of `History.append` holds the customer's row lock.
The head was read under that lock.
One call of `save_changes` writes all appended events with everything else.
"""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from repair_events.event import Event, EventData, encode, event_type
from repair_events.ids import new_id
from repair_events.repair import Customer, Repair
from repair_writer.store.changes import Kept, Stated, save_changes
from repair_writer.store.rows import EventRow, Head
from repair_writer.store.transaction import Connection
from service_runtime.clock import rfc3339


class Author(msgspec.Struct, frozen=True, kw_only=True):
    """The actor of an event, the publishing system, and the trace that the event belongs to."""

    actor: str
    source: str
    traceparent: str | None = None


class History:
    """The heads of the customers locked by this transaction, and the events to append."""

    def __init__(self, heads: Iterable[Head], now: datetime) -> None:
        self._heads = {head.customer_id: head for head in heads}
        # The database's clock may be set back. Times within a stream never decrease.
        self._accepted_at = max([now, *(head.changed_at for head in self._heads.values())])
        self._accepted_text = rfc3339(self._accepted_at)
        self._moved: dict[int, Head] = {}
        self._events: list[EventRow] = []
        self._stated: dict[str, Stated] = {}

    @property
    def accepted_text(self) -> str:
        """Return the acceptance time of this transaction's changes, RFC 3339."""
        return self._accepted_text

    @property
    def is_empty(self) -> bool:
        """Return whether nothing has been appended, so that nothing needs saving."""
        return not self._events

    def head(self, customer_id: int) -> Head | None:
        """Return the current head of a locked customer. None if the customer does not exist."""
        return self._heads.get(customer_id)

    def append(
        self,
        author: Author,
        fact: str,
        state: Repair | Customer,
        *,
        reason: str | None = None,
        occurred_at: str | None = None,
    ) -> Head:
        """Append a change with the customer's next revision and return the new head.

        `occurred_at` is the time given by the publisher. The default is the acceptance time.
        """
        before = self._heads[state.customer_id]
        head = Head(
            customer_id=before.customer_id,
            revision=before.revision + 1,
            event_id=new_id(),
            changed_at=self._accepted_at,
        )
        data = EventData(
            customer_id=head.customer_id,
            revision=head.revision,
            previous=before.event_id,
            occurred_at=occurred_at or self._accepted_text,
            actor=author.actor,
            reason=reason,
            repair=state if isinstance(state, Repair) else None,
            customer=None if isinstance(state, Repair) else state,
        )
        self._heads[head.customer_id] = self._moved[head.customer_id] = head
        self._events.append(self._row(author, event_type(fact), str(head.event_id), data))
        return head

    def _row(self, author: Author, type_: str, event_id: str, data: EventData) -> EventRow:
        repair_id = None if data.repair is None else data.repair.repair_id
        event = Event(
            id=event_id,
            source=author.source,
            type=type_,
            subject=repair_id or str(data.customer_id),
            time=self._accepted_text,
            traceparent=author.traceparent,
            data=data,
        )
        return EventRow(
            customer_id=data.customer_id,
            revision=data.revision,
            event_id=event_id,
            repair_id=repair_id,
            type=type_,
            payload=encode(event),
        )

    def state(self, repair: Repair, head: Head, *, new: bool) -> None:
        """Set the new state of a repair's row, as of the event of `head`.

        `new` means that the repair has no row yet.
        """
        before = self._stated.get(repair.repair_id)
        self._stated[repair.repair_id] = Stated(
            repair=repair,
            revision=head.revision,
            event_id=str(head.event_id),
            new=new or (before is not None and before.new),
        )

    async def save(self, connection: Connection, kept: Kept | None = None) -> None:
        """Write all appended changes and the outcome of the idempotency key."""
        await save_changes(
            connection,
            self._accepted_at,
            heads=list(self._moved.values()),
            events=self._events,
            repairs=list(self._stated.values()),
            kept=kept,
        )
