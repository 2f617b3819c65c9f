"""The read model in memory: its rows, row locks, transactions, and the statements of `read_model`.

A stand-in for PostgreSQL, not for our SQL.
`integration/test_store.py` runs the same statements on both and compares.
An unknown statement is an error that names it.
"""

import copy
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
from tests.laws.world import statements
from tests.laws.world.calls import Calls, InMemory, Process

from portal_query.read_model.letters import Letter
from portal_query.read_model.rows import EventRow

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: How long a statement waits for a row that another transaction holds.
LOCK_SECONDS: Final = 15.0


@dataclass
class Customer:
    """A customer's row with all dependent rows."""

    customer_id: int
    fold_version: str
    refold: int
    revision: int = 0
    event_id: str | None = None
    parked_at: datetime | None = None
    parked_reason: str | None = None
    as_of: datetime | None = None
    accepted_at: datetime | None = None
    name: str = ""
    version: int = 0
    repairs: dict[str, EventRow] = field(default_factory=dict)
    recorded: dict[str, str] = field(default_factory=dict)
    history: dict[tuple[str, int], EventRow] = field(default_factory=dict)
    counts: dict[tuple[int, str], int] = field(default_factory=dict)

    def copy(self) -> "Customer":
        """Return an independent copy."""
        made = copy.copy(self)
        made.repairs, made.recorded = dict(self.repairs), dict(self.recorded)
        made.history, made.counts = dict(self.history), dict(self.counts)
        return made

    @property
    def still(self) -> bool:
        """Return whether the customer is frozen."""
        return self.as_of is not None or self.parked_at is not None

    def sums(self) -> list[int]:
        """Return the sums of the three counts."""
        found: Counter[int] = Counter({0: 0, 1: 0, 2: 0})
        for (dimension, _), n in self.counts.items():
            found[dimension] += n
        return list(found.values())


class Tables:
    """Committed rows, and the lock holders of rows."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self.customers: dict[int, Customer] = {}
        self.letters: dict[tuple[object, ...], Letter] = {}
        self.progress: dict[int, datetime] = {}
        self.locks: dict[int, Session] = {}
        self.advisory: dict[int, Session] = {}
        self.transactions = 0
        #: Called for each customer that a commit has written, with the state before and after.
        self.committed: Callable[[Customer | None, Customer | None], None] = lambda *_: None

    def milliseconds(self) -> int:
        """Return the milliseconds since 1970."""
        return int(self.now().timestamp() * 1000)


class Session:
    """One connection as the server sees it, with its transaction."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.closed = False
        self.written: dict[int, Customer | None] = {}
        self.letters: list[Letter] = []
        self.progress: dict[int, datetime] = {}
        self.stage: list[EventRow] = []
        self.repair_difference: dict[str, tuple[EventRow | None, str]] = {}
        self.history_difference: dict[tuple[str, int], EventRow | None] = {}
        self.depth = 0
        self.transaction = 0

    def row(self, customer: int) -> Customer | None:
        """Return a customer as this session sees it."""
        if customer in self.written:
            return self.written[customer]
        return self.tables.customers.get(customer)

    def rows(self) -> list[Customer]:
        """Return all customers as this session sees them, by id."""
        ids = sorted({*self.tables.customers, *self.written})
        return [one for one in map(self.row, ids) if one is not None]

    def write(self, customer: int) -> Customer | None:
        """Return a customer to be changed; it gets a new version."""
        held = self.row(customer)
        if held is None:
            return None
        if customer not in self.written:
            self.lock([customer])
            held = self.written[customer] = held.copy()
        held.version = self.number()
        return held

    def number(self) -> int:
        """Return the number of this transaction."""
        if self.transaction == 0:
            self.tables.transactions += 1
            self.transaction = self.tables.transactions
        return self.transaction

    def lock(self, customers: Sequence[int]) -> None:
        """Lock rows until the transaction ends."""
        for one in customers:
            assert self.tables.locks.get(one, self) is self, "locked by somebody else"
            self.tables.locks[one] = self

    def free(self, customers: Sequence[int]) -> bool:
        """Return whether no other session has locked these."""
        return all(self.tables.locks.get(one, self) is self for one in customers)

    def commit(self) -> None:
        """Make the writes visible."""
        tables = self.tables
        for customer, after in self.written.items():
            before = tables.customers.get(customer)
            if after is None:
                tables.customers.pop(customer, None)
            else:
                tables.customers[customer] = after
            tables.committed(before, after)
        for one in self.letters:
            tables.letters.setdefault((one.topic, one.partition, one.offset, one.value), one)
        for partition, moment in self.progress.items():
            tables.progress[partition] = max(tables.progress.get(partition, EPOCH), moment)
        self.rollback()

    def rollback(self) -> None:
        """Discard the writes and release the locks."""
        self.written, self.letters, self.progress = {}, [], {}
        self.transaction = 0
        self.depth = 0
        self.tables.locks = {k: v for k, v in self.tables.locks.items() if v is not self}

    def close(self) -> None:
        """End the session as a server does when its client has gone."""
        self.rollback()
        self.closed = True
        self.tables.advisory = {k: v for k, v in self.tables.advisory.items() if v is not self}


class MemoryConnection(InMemory):
    """Stand-in for a connection of asyncpg."""

    def __init__(self, calls: Calls, process: Process, tables: Tables, seconds: Callable[[], float]) -> None:  # fmt: skip
        self.process = process
        self._calls = calls
        self._session = Session(tables)
        self._seconds = seconds

    @property
    def session(self) -> Session:
        """Return the server's side."""
        return self._session

    def is_closed(self) -> bool:
        """Return whether it broke or was closed."""
        return self._session.closed

    def terminate(self) -> None:
        """Close it now."""
        self._session.close()

    async def statement(self, name: str, *values: Any, **named: Any) -> Any:
        """Run one statement of the read model by the name of its function."""
        run = statements.KNOWN.get(name)
        if run is None:
            raise AssertionError(f"the store in memory does not know {name}: teach it")
        session = self._session

        def do() -> Any:
            self._check()
            if not session.free(statements.waits_for(name, session, values)):
                raise asyncpg.LockNotAvailableError("canceling statement due to lock timeout")
            found = run(session, *values, **named)
            if session.depth == 0:
                session.commit()
            return found

        until = self._seconds() + LOCK_SECONDS
        return await self._ask(
            name,
            do,
            lambda: (
                session.free(statements.waits_for(name, session, values))
                or self._seconds() >= until
            ),
        )

    @asynccontextmanager
    async def transaction(self, **_: object) -> AsyncIterator[None]:
        """Open a transaction; roll it back when the block fails."""
        self._check()
        self._session.depth = 1
        try:
            yield
        except BaseException:
            self._session.rollback()
            raise

        def commit() -> None:
            self._check()
            self._session.commit()

        await self._ask("commit", commit)

    async def _ask(
        self, name: str, do: Callable[[], Any], ready: Callable[[], bool] = lambda: True
    ) -> Any:
        def broken() -> Exception:
            self._session.close()
            return ConnectionResetError(f"connection lost in {name}")

        return await self._calls.ask(
            self.process,
            f"{self.process.name} {name}",
            do,
            error=broken,
            ready=lambda: self._session.closed or ready(),
            late=name == "commit",
        )

    def _check(self) -> None:
        if self._session.closed:
            raise ConnectionResetError("the connection is closed")
