"""The numbered list of a customer: the only code that numbers.

Whoever calls `History.append` holds the customer's row lock; the head that it starts from was
read under that lock. What has been appended is saved by one statement, with everything else.
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
    """Who says so: the actor of the event, the publishing system, and the trace it belongs to."""

    actor: str
    source: str
    traceparent: str | None = None


class History:
    """The lists of the customers that this transaction has locked, and what it adds to them."""

    def __init__(self, heads: Iterable[Head], now: datetime) -> None:
        self._heads = {head.customer_id: head for head in heads}
        # The database's clock may be set back; the times of a list never run backwards.
        self._accepted_at = max([now, *(head.changed_at for head in self._heads.values())])
        self._accepted_text = rfc3339(self._accepted_at)
        self._moved: dict[int, Head] = {}
        self._events: list[EventRow] = []
        self._stated: dict[str, Stated] = {}

    @property
    def accepted_text(self) -> str:
        """When this transaction's changes were accepted, RFC 3339."""
        return self._accepted_text

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been appended, so that there is nothing to save."""
        return not self._events

    def head(self, customer_id: int) -> Head | None:
        """Return where a locked customer's list stands now; None: no such customer."""
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
        """Give a change the next revision of its customer and return the new head.

        `occurred_at` is the publisher's word; without one it happened when it was accepted.
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
        """Let the repair's row say this, as of the event that `head` names; `new`: make the row."""
        before = self._stated.get(repair.repair_id)
        self._stated[repair.repair_id] = Stated(
            repair=repair,
            revision=head.revision,
            event_id=str(head.event_id),
            new=new or (before is not None and before.new),
        )

    async def save(self, connection: Connection, kept: Kept | None = None) -> None:
        """Write everything that was appended, and the outcome under its key, in one statement."""
        await save_changes(
            connection,
            self._accepted_at,
            heads=list(self._moved.values()),
            events=self._events,
            repairs=list(self._stated.values()),
            kept=kept,
        )
