"""Random commands by several clients at once, each repeated with its key until it succeeds."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from deploy.demo import glass
from deploy.demo.fleets import LAKESHORE
from deploy.demo.writer import Answer, RefusedError, Writer
from tests.oracle import rules

Send = Callable[[str], Awaitable[Answer]]
EXPECTED_REFUSALS = frozenset({409})
KINDS = {
    "record": 36,
    "status": 28,
    "correct": 14,
    "move": 5,
    "remove": 7,
    "restore": 6,
    "profile": 3,
    "same": 1,
}


@dataclass
class Acks:
    """Acknowledgements of the writer: every change by customer and revision, and the attempts of
    each kind.
    """

    changes: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    moves: int = 0
    sent: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def take(self, kind: str, answer: Answer) -> None:
        """Record a response: the repair names its customer and revision."""
        self.sent[kind] += 1
        body = answer.body
        if "repair_id" in body:
            self.changes[body["customer_id"], body["revision"]] = body


class World:
    """Customers, their repairs as far as the clients have seen them, and the clients themselves."""

    def __init__(self, writer: Writer, customers: list[int], seed: int, prefix: str) -> None:
        self.acks = Acks()
        self._writer = writer
        self._customers = customers
        self._rng = Random(seed)
        self._prefix = prefix
        self._numbers = itertools.count(1)
        self._known: list[str] = []

    async def found(self) -> None:
        """Create the customers in the writer."""
        for customer_id in self._customers:
            await self._writer.put_customer(customer_id, {"name": f"Fleet {customer_id}"})

    async def run(self, commands: int, clients: int) -> Acks:
        """Send so many commands by so many clients at once; return when each has its response."""
        todo = iter(range(commands))
        await asyncio.gather(*(self._client(todo) for _ in range(clients)))
        return self.acks

    async def run_until(self, over: asyncio.Event, clients: int) -> Acks:
        """Send some hundred commands a second until `over` is set; return when each has its
        response.
        """
        todo = itertools.takewhile(lambda _: not over.is_set(), itertools.count())
        await asyncio.gather(*(self._client(todo, pause=0.02) for _ in range(clients)))
        return self.acks

    async def _client(self, todo: Iterator[int], pause: float = 0) -> None:
        for _ in todo:
            await asyncio.sleep(pause)
            number = next(self._numbers)
            kind, send = self._draw(number)
            key = f"{self._prefix}-{number}"
            try:
                answer = await send(key)
            except RefusedError as refusal:
                if refusal.status not in EXPECTED_REFUSALS:
                    raise
                self.acks.refused[refusal.code] += 1
                continue
            self.acks.take(kind, answer)
            if kind == "record":
                self._known.append(answer.body["repair_id"])
            if self._rng.random() < 0.1:
                again = await send(key)
                assert (again.revision, again.body) == (answer.revision, answer.body), (
                    f"{kind}, sent twice"
                )

    def _draw(self, number: int) -> tuple[str, Send]:
        """Draw a command; its content is fixed here, so that it can be repeated."""
        kind = self._rng.choices(list(KINDS), list(KINDS.values()))[0]
        if kind == "profile":
            return kind, self._profile(number)
        if kind == "record" or not self._known:
            return "record", self._record(number)
        # Half of the commands hit recently seen repairs, so that clients collide.
        recent = self._known[-40:] if self._rng.random() < 0.5 else self._known
        return kind, self._change(kind, self._rng.choice(recent), number)

    def _profile(self, number: int) -> Send:
        customer_id, profile = (
            self._customer(),
            {"name": f"Fleet, renamed {number}", "city": "Baraboo"},
        )
        path = f"/v1/customers/{customer_id}"
        return lambda key: self._writer.call("PUT", path, profile, key=key)

    def _record(self, number: int) -> Send:
        at = datetime(2026, 1, 1, tzinfo=UTC) - timedelta(
            minutes=self._rng.randrange(3 * 365 * 1440)
        )
        repair: dict[str, Any] = dict(glass.found(self._unit(), 0, at, self._rng))
        repair |= {
            "customer_id": self._customer(),
            "source": "system-test",
            "source_ref": f"{self._prefix}-{number}",
            "status": self._rng.choice(rules.STATUSES),
            "requested_by": self._rng.choice(("customer", "internal")),
        }
        if repair["requested_by"] == "customer":
            repair["status"] = "REQUESTED"
        return lambda key: self._writer.record(repair, key=key)

    def _change(self, kind: str, repair_id: str, number: int) -> Send:
        writer, reason = self._writer, {"reason": f"random command {number}"}
        status = reason | {"status": self._rng.choice(rules.STATUSES)}
        customer = reason | {"customer_id": self._customer()}
        correction = reason | self._correction()
        sends: dict[str, Send] = {
            "status": lambda key: writer.status(repair_id, status, key=key),
            "correct": lambda key: writer.correct(repair_id, correction, key=key),
            "same": lambda key: writer.correct(
                repair_id, reason | {"technician": "Dana Whitfield"}, key=key
            ),
            "move": lambda key: writer.correct(repair_id, customer, key=key),
            "remove": lambda key: writer.remove(repair_id, reason, key=key),
            "restore": lambda key: writer.restore(repair_id, reason, key=key),
        }
        return sends[kind]

    def _correction(self) -> dict[str, str]:
        at = datetime(2026, 1, 1, tzinfo=UTC) - timedelta(
            minutes=self._rng.randrange(3 * 365 * 1440)
        )
        every = {
            "unit_number": self._unit(),
            "repair_date": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "cost": f"{self._rng.randrange(10, 120)}.{self._rng.randrange(100):02d}",
            "damage_type": self._rng.choice(list(glass.DAMAGE)),
        }
        names = self._rng.sample(list(every), self._rng.randrange(1, 4))
        return {name: every[name] for name in names}

    def _customer(self) -> int:
        """Draw a customer: half of the commands go to the first five."""
        hot = self._customers[:5]
        return self._rng.choice(hot if self._rng.random() < 0.5 else self._customers)

    def _unit(self) -> str:
        return f"{LAKESHORE.unit_style.upper()} {self._rng.randrange(1, 30):02d}"
