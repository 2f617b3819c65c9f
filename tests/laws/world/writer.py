"""The writer in memory: streams from its own `decide` and `History`, an outbox, open transactions.

The oracle, which shares no code with the services, counts each stream here as well.
"""

import copy
import json
from collections.abc import AsyncGenerator, Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from tests.laws.world.calls import Calls, InMemory, Process
from tests.laws.world.schedule import Schedule
from tests.oracle import fold as oracle

from portal_query.projector.lists import (
    Head,
    HeadPage,
    Progress,
    UnknownCustomerError,
    WriterAwayError,
    WriterLists,
)
from repair_events.event import PROFILE_CHANGED, event_type
from repair_events.ids import new_id
from repair_events.repair import Customer, Repair
from repair_events.status import STATUSES
from repair_writer.commands import append_change
from repair_writer.history import Author, History
from repair_writer.repair import (
    Change,
    ChangeStatus,
    Command,
    Correct,
    Record,
    Remove,
    Restore,
    decide,
)
from repair_writer.store.outbox import OutboxRow
from repair_writer.store.rows import Head as StoredHead

CUSTOMERS: Final = (1, 2, 3)
ZONE: Final = "America/Chicago"
_AUTHOR: Final = Author(actor="internal:laws", source="laws")
_UNITS: Final = ("A1", "B2", "é")
_DATES: Final = (
    "2026-01-31T12:00:00Z",
    "2026-02-01T05:59:59.999999Z",
    "2026-02-01T06:00:00Z",
    "2026-11-01T05:00:00Z",
)
_POLL_SECONDS: Final = 0.25
_LINES_AT_ONCE: Final = 3


@dataclass(frozen=True, eq=False)
class Known:
    """One event of a stream, with the expected counts when it is the last."""

    customer_id: int
    revision: int
    event_id: str
    previous: str | None
    accepted_at: datetime
    payload: bytes
    counts: oracle.Counts
    repairs: int


@dataclass(frozen=True)
class Waiting:
    """A row of the outbox."""

    row: OutboxRow
    accepted_at: datetime


@dataclass
class State:
    """Contents of a writer's backup."""

    lists: dict[int, list[Known]] = field(default_factory=lambda: {one: [] for one in CUSTOMERS})
    repairs: dict[str, Repair] = field(default_factory=dict)
    folds: dict[int, oracle.Folded] = field(
        default_factory=lambda: {one: oracle.Folded(one) for one in CUSTOMERS}
    )
    outbox: dict[int, Waiting] = field(default_factory=dict)
    refused: dict[int, Waiting] = field(default_factory=dict)
    numbers: int = 0


@dataclass(eq=False)
class Transaction:
    """A decided, uncommitted command."""

    begun: datetime
    repair: Repair | None
    rows: list[tuple[int, Known]]


class Writer:
    """Accepts commands, and serves streams, heads and progress."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.skew = timedelta(0)
        self._stood: datetime | None = None
        self.state = State()
        self.open: list[Transaction] = []
        #: Every event ever in a stream, by its id, including streams from before a restore.
        self.ever: dict[str, Known] = {}
        self.leader: object | None = None

    def now(self) -> datetime:
        """Return the time on the writer's clock."""
        return self._stood or self._now() + self.skew

    def stand(self) -> None:
        """Stop the clock, or resume at the right time."""
        self._stood = self.now() if self._stood is None else None

    def go_on(self) -> None:
        """Let the clock run."""
        self._stood = None

    def begin(self, schedule: Schedule) -> None:
        """Decide one more command, of a customer whose stream is not locked."""
        locked = {one.customer_id for open_ in self.open for _, one in open_.rows}
        free = [one for one in CUSTOMERS if one not in locked]
        if not free:
            return
        customer = free[schedule.pick(len(free))]
        history = self._history(free)
        after: Repair | None = None
        if schedule.pick(10) == 9:
            name = f"{customer} {schedule.pick(3)}"
            history.append(_AUTHOR, PROFILE_CHANGED, Customer(customer_id=customer, name=name))
        else:
            repair, command = self._command(customer, free, schedule)
            decision = decide(repair, command)
            if not isinstance(decision, Change):
                return
            append_change(history, _AUTHOR, decision, None)
            after = decision.repair
        self.open.append(Transaction(self.now(), after, self._numbered(history)))

    def _history(self, customers: Collection[int]) -> History:
        heads = []
        for one in customers:
            events = self.state.lists[one]
            last = events[-1] if events else None
            heads.append(
                StoredHead(
                    customer_id=one,
                    revision=len(events),
                    event_id=last.event_id if last else None,
                    changed_at=last.accepted_at if last else self.now(),
                )
            )
        return History(heads, self.now())

    def _command(  # noqa: PLR0911 - a list of commands
        self, customer: int, free: list[int], schedule: Schedule
    ) -> tuple[Repair | None, Command]:
        mine = [one for one in self.state.repairs.values() if one.customer_id == customer]
        kind = schedule.pick(8)
        if kind < 2 or not mine:
            made = Repair(
                repair_id=new_id(),
                customer_id=customer,
                unit_number=_UNITS[schedule.pick(3)],
                repair_date=_DATES[schedule.pick(4)],
                status=STATUSES[schedule.pick(6)],
                source="laws",
            )
            return None, Record(repair=made)
        repair = mine[schedule.pick(len(mine))]
        if kind == 2:
            return repair, ChangeStatus(status=STATUSES[schedule.pick(6)])
        if kind == 3:
            return repair, Correct(given={"unit_number": _UNITS[schedule.pick(3)]})
        if kind == 4:
            return repair, Correct(given={"repair_date": _DATES[schedule.pick(4)]})
        if kind == 5:
            return repair, Remove(reason="a mistake")
        if kind == 6:
            return repair, Restore()
        return repair, Correct(given={"customer_id": free[schedule.pick(len(free))]})

    def _numbered(self, history: History) -> list[tuple[int, Known]]:
        """Assign numbers to the rows of the outbox now, though they are visible only after the commit."""
        rows = []
        for row in history._events:
            event = json.loads(row.payload)
            folded = self._folded(row.customer_id, event)
            self.state.numbers += 1
            counts = folded.counts(ZONE)
            known = Known(
                row.customer_id,
                row.revision,
                row.event_id,
                event["data"]["previous"],
                datetime.fromisoformat(event["time"]),
                row.payload,
                counts,
                counts.total(),
            )
            rows.append((self.state.numbers, known))
        return rows

    def _folded(self, customer: int, event: dict[str, Any]) -> oracle.Folded:
        folded = copy.copy(self.state.folds[customer])
        folded.repairs = dict(folded.repairs)
        repair = event["data"].get("repair")
        if repair is not None:
            folded.repairs[repair["repair_id"]] = oracle.canonical(repair)
        return folded

    def commit(self, number: int) -> str:
        """Commit one of the open transactions: its events enter the stream and the outbox.

        Returns their customers and revisions, for the trace.
        """
        done = self.open.pop(number)
        for row_id, known in done.rows:
            customer = known.customer_id
            self.state.folds[customer] = self._folded(customer, json.loads(known.payload))
            events = self.state.lists[customer]
            assert known.revision == len(events) + 1, "the list is gapless"
            assert known.previous == (events[-1].event_id if events else None)
            self.state.lists[customer] = [*events, known]
            self.ever[known.event_id] = known
            waiting = Waiting(OutboxRow(row_id, customer, known.payload), known.accepted_at)
            self.state.outbox[row_id] = waiting
        if done.repair is not None:
            self.state.repairs[done.repair.repair_id] = done.repair
        return ", ".join(f"{known.customer_id}.{known.revision}" for _, known in done.rows)

    def backup(self) -> State:
        """Return a copy of everything."""
        return State(
            dict(self.state.lists),
            dict(self.state.repairs),
            dict(self.state.folds),
            dict(self.state.outbox),
            dict(self.state.refused),
            self.state.numbers,
        )

    def restore(self, kept: State) -> None:
        """Restore a backup; open transactions and calls in flight are lost."""
        self.state, self.open = kept, []

    def progress(self) -> Progress:
        """Return the progress of the changes, as the API does."""
        moments = [self.now(), *(one.begun for one in self.open)]
        moments += [one.accepted_at for one in self.state.outbox.values()]
        return Progress(min(moments), len(self.state.refused))

    def heads(self, after: int, since: datetime | None, limit: int) -> HeadPage:
        """Return a page of heads, as the API does."""
        found = [
            Head(one, len(events), events[-1].event_id, events[-1].accepted_at)
            for one, events in self.state.lists.items()
            if one > after and events and (since is None or events[-1].accepted_at >= since)
        ][:limit]
        return HeadPage(found, found[-1].customer_id if len(found) == limit else None)


def foreign(known: Known, customer_id: int) -> bytes:
    """Return an event as another system might send it: correct in shape, but of no stream.

    Its predecessor is in no stream either.
    A forged next event of a customer is accepted until the heads are compared: only the stream
    reveals it.
    """
    event = json.loads(known.payload)
    event["id"], event["data"]["previous"] = new_id(), new_id()
    event["data"]["customer_id"] = customer_id
    part = event["data"].get("repair") or event["data"]["customer"]
    part["customer_id"] = customer_id
    return msgspec.json.encode(event)


def of_newer_major(known: Known) -> bytes:
    """Return an event as a later version of the writer might send it, under the same revision."""
    event = json.loads(known.payload)
    event["id"] = new_id()
    event["type"] = event_type("recorded").removesuffix("1") + "2"
    return msgspec.json.encode(event)


class MemoryLists(WriterLists):
    """Stand-in for the writer's HTTP interface."""

    def __init__(self, calls: Calls, process: Process, writer: Writer) -> None:
        super().__init__("http://memory", "")
        self._calls = calls
        self._process = process
        self._writer = writer

    async def progress(self) -> Progress:
        found: Progress = await self._ask("progress", self._writer.progress)
        return found

    async def heads(
        self, *, after: int = 0, changed_since: datetime | None = None, limit: int = 2
    ) -> HeadPage:
        page: HeadPage = await self._ask(
            "heads", lambda: self._writer.heads(after, changed_since, limit)
        )
        return page

    async def events(self, customer_id: int, *, after: int = 0) -> AsyncGenerator[list[bytes]]:
        expected: int | None = None
        at = after
        while expected is None or at < expected:

            def read(at: int = at) -> tuple[int, list[bytes]]:
                events = self._writer.state.lists.get(customer_id)
                if not events:
                    raise UnknownCustomerError
                page = events[at : at + _LINES_AT_ONCE]
                return len(events), [one.payload for one in page]

            length, lines = await self._ask("list", read)
            expected = length if expected is None else expected
            at += len(lines)
            if lines:
                yield lines
            elif at < expected:
                raise WriterAwayError("ended too early")

    async def _ask(self, name: str, do: Callable[[], Any]) -> Any:
        return await self._calls.ask(
            self._process,
            f"{self._process.name} writer {name}",
            do,
            error=lambda: WriterAwayError(name),
        )


class MemoryOutbox(InMemory):
    """Stand-in for a connection to the outbox, and for a pool of them."""

    def __init__(self, calls: Calls, process: Process, writer: Writer, seconds: Callable[[], float]) -> None:  # fmt: skip
        self.process = process
        self.closed = False
        self._calls = calls
        self._writer = writer
        self._seconds = seconds

    async def statement(self, name: str, *values: Any, **named: Any) -> Any:
        """Run one statement of the outbox by the name of its function."""
        run = getattr(self, "_" + name.rpartition(".")[2], None)
        if run is None:
            raise AssertionError(f"the outbox in memory does not know {name}: teach it")
        state = self._writer.state

        def do() -> Any:
            # A statement for a server that has since been restored never arrives.
            if self.closed or state is not self._writer.state:
                raise ConnectionResetError("the connection is closed")
            return run(*values, **named)

        until = self._seconds() + _POLL_SECONDS
        polls = name.endswith("select_unsent")
        return await self._calls.ask(
            self.process,
            f"{self.process.name} {name}",
            do,
            error=self._broken,
            ready=lambda: (
                self.closed or not polls or self._seconds() >= until or bool(run(*values, **named))
            ),
            late=name.endswith("delete_sent"),
        )

    def _broken(self) -> Exception:
        if self._writer.leader is self:
            self.terminate()
        return ConnectionResetError("connection lost")

    async def close(self, **_: object) -> None:
        self.terminate()

    def terminate(self) -> None:
        """Close it now, and release the leader's lock."""
        self.closed = True
        if self._writer.leader is self:
            self._writer.leader = None

    def _try_to_lead(self) -> bool:
        self._writer.leader = self._writer.leader or self
        return self._writer.leader is self

    def _is_connected(self) -> None:
        return None

    def _select_unsent(
        self,
        *,
        without_ids: Collection[int],
        without_customers: Collection[int],
        limit: int,
        max_bytes: int,
    ) -> list[OutboxRow]:
        assert max_bytes > 0
        return [
            one.row
            for number, one in sorted(self._writer.state.outbox.items())
            if number not in without_ids and one.row.customer_id not in without_customers
        ][:limit]

    def _delete_sent(self, ids: Collection[int]) -> None:
        for one in ids:
            self._writer.state.outbox.pop(one, None)

    def _set_aside(self, row_id: int, reason: str) -> str | None:
        waiting = self._writer.state.outbox.pop(row_id, None)
        if waiting is None:
            return None
        self._writer.state.refused[row_id] = waiting
        return str(json.loads(waiting.row.payload)["id"]) if reason else None
