"""Immediate completion of every call: for properties of content, not of time."""

from collections.abc import Callable
from typing import Any

from tests.laws.world.calls import Calls, Process
from tests.laws.world.doors import Address
from tests.laws.world.store import MemoryConnection, Tables
from tests.laws.world.writer import CUSTOMERS, ZONE, Known, MemoryLists, Writer

from portal_query.projector.apply import Applier
from portal_query.projector.batch import prepare
from portal_query.projector.refold import Refolder
from portal_query.projector.testing import TopicRecord
from portal_query.read_model.postgres import Line
from repair_events import topic
from repair_events.month import Months

_MONTHS = Months(ZONE)


class Instant(Calls):
    """Calls that complete at once."""

    async def ask(self, process: Process, name: str, do: Callable[[], Any], **_: Any) -> Any:
        """Return the result at once."""
        assert process.alive, name
        return do()


class Follower:
    """A fold fed by hand: batches of records, and the stream where something is missing."""

    def __init__(self, writer: Writer, url: str) -> None:
        """Open the read model at `url`."""
        lists = MemoryLists(Instant(), Process("follower"), writer)
        self._writer = writer
        self.lines = [Line(url, name=f"laws {job}") for job in ("apply", "refold")]
        self._applier = Applier(self.lines[0], ZONE)
        self._refolder = Refolder(self.lines[1], lists, ZONE)

    async def deliver(self, events: list[Known]) -> None:
        """Apply a batch, and rebuild the customers that need it."""
        outcome = await self._applier.apply(prepare([_record(one) for one in events], {}, _MONTHS))
        for customer in outcome.troubles:
            suspects = outcome.suspects.get(customer, ())
            await self._refolder.look_after(customer, suspects=suspects)

    async def finish(self, *, force: bool = False) -> None:
        """Reconcile all customers, as a comparison of heads would; `force` rebuilds all."""
        for customer in CUSTOMERS:
            await self._refolder.look_after(customer, force=force)

    def close(self) -> None:
        """Close the connections."""
        for line in self.lines:
            line.drop()


def memory(tables: Tables) -> Address:
    """Return the address of tables in memory."""

    async def connect() -> MemoryConnection:
        return MemoryConnection(Instant(), Process("follower"), tables, lambda: 0.0)

    return Address.of(lambda _: connect())


def _record(known: Known) -> TopicRecord:
    customer = known.customer_id
    return TopicRecord(
        known.payload, topic.key(customer), known.revision, topic.partition(customer)
    )
