"""Invariants at every step, in any order of events, and agreement in the end.

I1: nothing accepted is lost. I3: the three counts sum to the number of repairs, none is below zero.
I4: in the end all copies agree. I5: no reader sees time run backwards.
I7: counts at a revision are the fold of exactly those events.
I8: the published lag is never smaller than the truth.
I10: everything recovers without an operator. I11: revisions are applied without a gap.
"""

from datetime import datetime
from typing import TYPE_CHECKING

from tests.laws.world.cache import Held
from tests.laws.world.kafka import Stored
from tests.laws.world.store import EPOCH, Customer
from tests.laws.world.writer import CUSTOMERS, Known

from portal_query.counting import Dimension
from portal_query.document import FROZEN_UNKNOWN, VIEWS
from repair_events.topic import partition

if TYPE_CHECKING:
    from tests.laws.world.world import World


class Truth:
    """Observer of all writes."""

    def __init__(self, world: "World") -> None:
        self._world = world
        world.tables.committed = self.committed
        world.redis.taken = self.taken
        world.group.done = self.done
        self._looked_at: object = None

    def committed(self, before: Customer | None, after: Customer | None) -> None:
        """Check the state that a transaction of the read model has written about a customer."""
        if after is None:
            assert before is None or before.revision == 0, "a customer with a history is forgotten"
            return
        name = f"customer {after.customer_id} at revision {after.revision}"
        known = self._known(after.customer_id, after.revision, after.event_id)
        assert all(n >= 0 for n in after.counts.values()), f"I3: {name} has a count below zero"
        there = known.repairs if known else 0
        assert set(after.sums()) == {there}, f"I3: {name} sums to {after.sums()}, not {there}"
        assert _counts(after) == _expected(known), f"I7: {name} is not the fold of its list"
        revisions = sorted(revision for _, revision in after.history)
        assert revisions == self._revisions(known), f"I11: {name} has the history {revisions}"
        if before is not None:
            versions = (before.refold, before.revision), (after.refold, after.revision)
            assert versions[0] <= versions[1], (
                f"I5: {name} goes from {versions[0]} to {versions[1]}"
            )

    def taken(self, customer: int, before: Held | None, after: Held) -> None:
        """Check cached counts that Redis has accepted."""
        name = f"the document of customer {customer} at {after.refold}.{after.revision}"
        event_id = after.tag.rpartition(".")[2]
        known = self._known(customer, after.revision, None if event_id == "none" else event_id)
        if known is not None:
            bodies = known.counts.bodies()
            assert after.bodies == tuple(bodies[view] for view in VIEWS), f"I7: {name} is wrong"
        if before is not None:
            old, new = (before.refold, before.revision), (after.refold, after.revision)
            assert old <= new, f"I5: {name} takes the place of {old}"

    def done(self, record: Stored) -> None:
        """Check a record whose offset is committed: it need never be delivered again."""
        for customer, events in self._world.writer.state.lists.items():
            row, held = self._world.tables.customers.get(customer), self._world.redis.get(customer)
            for one in events:
                if one.payload != record.value or (row is not None and row.still):
                    continue
                name = f"{customer}.{one.revision} is committed and not"
                assert row is not None, f"I1: {name} applied"
                assert row.revision >= one.revision, f"I1: {name} applied"
                # Between the commit of a rebuild and its publication Redis holds the document of
                # the frozen customer. The offset does not wait for that publication: a customer may
                # stay frozen without limit, and its partition goes on. So the same state follows
                # whenever the offset is committed just before the rebuild. Deleting the document
                # first would not help, because readers write the frozen row back until the commit.
                # The document says how old it is, and after a crash it expires within a minute.
                published = held is None or bool(held.frozen) or held.revision >= one.revision
                assert published, f"I1: {name} published"

    def look(self) -> None:
        """Check the readers' view: its `as_of`, and that each accepted change is somewhere."""
        writer, redis, tables = self._world.writer, self._world.redis, self._world.tables
        for customer in CUSTOMERS:
            number = partition(customer)
            held = redis.get(customer)
            if held is not None:
                as_of = _as_of(held.frozen, redis.times.get(number))
                event_id = held.tag.rpartition(".")[2]
                self._honest("Redis", customer, held.revision, event_id, as_of)
            row = tables.customers.get(customer)
            as_of = row.as_of if row is not None and row.still else tables.progress.get(number)
            self._honest(
                "Postgres", customer, row.revision if row else 0, row.event_id if row else None, as_of
            )  # fmt: skip
        waiting = {one.row.payload for one in writer.state.outbox.values()}
        waiting |= {one.row.payload for one in writer.state.refused.values()}
        for events in writer.state.lists.values():
            for one in events:
                sent = one.payload in waiting or one.payload in self._world.topic.seen
                assert sent, f"I1: revision {one.revision} of {one.customer_id} was never sent"

    def _honest(
        self, where: str, customer: int, revision: int, event_id: str | None, as_of: datetime | None
    ) -> None:
        """Check that everything accepted before `as_of` is shown."""
        if as_of is None:
            return
        events = self._world.writer.state.lists[customer]
        while revision and (revision > len(events) or events[revision - 1].event_id != event_id):
            # A stream from before a restore: go back to the last common event with the present one.
            known = self._world.writer.ever[event_id] if event_id else None
            revision, event_id = (known.revision - 1, known.previous) if known else (0, None)
        if revision < len(events):
            missing = events[revision]
            assert missing.accepted_at >= as_of, (
                f"I8: {where} says as of {as_of} and lacks revision {missing.revision} of customer "
                f"{customer}, accepted at {missing.accepted_at}"
            )

    def differences(self) -> list[str]:
        """Return the remaining differences in words; empty once all copies agree (I4)."""
        world = self._world
        found = []
        if world.writer.state.outbox:
            found.append(f"{len(world.writer.state.outbox)} events wait in the outbox")
        for customer, events in world.writer.state.lists.items():
            row = world.tables.customers.get(customer)
            last = events[-1] if events else None
            if (row.event_id if row else None) != (last.event_id if last else None):
                found.append(
                    f"customer {customer}: Postgres is at {row and row.revision} of {len(events)}"
                )
            elif row is not None and row.still:
                found.append(f"customer {customer} stands still: {row.parked_reason}")
            held = world.redis.get(customer)
            if held is not None and row is not None:
                shown = (held.refold, held.revision, bool(held.frozen))
                if shown != (row.refold, row.revision, row.still):
                    found.append(f"customer {customer}: Redis shows {shown}")
            as_of = world.tables.progress.get(partition(customer), EPOCH)
            if last is not None and as_of <= last.accepted_at:
                found.append(f"customer {customer}: as of {as_of} only")
        return found

    def _known(self, customer: int, revision: int, event_id: str | None) -> Known | None:
        if event_id is None:
            assert revision == 0, "a revision without an event"
            return None
        known = self._world.writer.ever.get(event_id)
        assert known is not None, f"I7: {event_id} of customer {customer} is in no list"
        assert (known.customer_id, known.revision) == (customer, revision), "I7: another's event"
        return known

    def _revisions(self, known: Known | None) -> list[int]:
        """Return the revisions of a stream, up to this event, that are about repairs."""
        found: list[int] = []
        while known is not None:
            if b'"customer":null' in known.payload:
                found.append(known.revision)
            known = self._world.writer.ever[known.previous] if known.previous else None
        return found[::-1]


def _counts(row: Customer) -> dict[tuple[int, str], int]:
    return {key: n for key, n in row.counts.items() if n}


def _expected(known: Known | None) -> dict[tuple[int, str], int]:
    if known is None:
        return {}
    parts = (known.counts.units, known.counts.months, known.counts.statuses)
    return {
        (int(dimension), bucket): n
        for dimension, part in zip(Dimension, parts, strict=True)
        for bucket, n in part.items()
    }


def _as_of(frozen: str, time: str | None) -> datetime | None:
    if frozen == FROZEN_UNKNOWN:
        return None
    text = frozen or time
    return None if text is None else datetime.fromisoformat(text)
