"""Publishers: an open loop of commands through the real API, each repeated with its key until it
succeeds.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
from tests.oracle import rules

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

_customers = itertools.count(100_000)
AGAIN = frozenset({429, 502, 503, 504})
FINAL = frozenset({200, 201, 404, 409, 412, 422})
KINDS = {"record": 55, "status": 20, "correct": 12, "move": 5, "remove": 8}
HOT = 5
TRY_SECONDS = 8.0
PAUSE_SECONDS = 0.15
MOST_AT_ONCE = 64


class UnansweredError(Exception):
    """Commands got no response, although each was repeated."""


@dataclass(frozen=True)
class Command:
    """One change as it is sent: always the same bytes under the same key."""

    key: str
    kind: str
    customer: int
    method: str
    path: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Ack:
    """The writer's response, with the moments around it (monotonic seconds)."""

    command: Command
    status: int
    revision: int
    body: dict[str, Any]
    invoked: float
    answered: float
    tries: int


@dataclass
class Acks:
    """All acknowledgements; each line of the file is written before the harness relies on it."""

    file: Path
    done: list[Ack] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    broken: int = 0
    latest: dict[int, int] = field(default_factory=dict)
    #: Time of each acknowledgement, by customer and revision, in seconds since 1970.
    moments: dict[tuple[int, int], float] = field(default_factory=dict)

    def note(self, what: str, command: Command, **more: object) -> None:
        """Append a line and flush it towards the disk."""
        line = {"what": what, "at": time.time(), "key": command.key, "kind": command.kind, **more}
        with self.file.open("a") as file:
            file.write(json.dumps(line, default=str) + "\n")

    def take(self, ack: Ack) -> None:
        """Record a response."""
        customer = ack.body.get("customer_id", ack.command.customer)
        self.note("ok", ack.command, customer=customer, revision=ack.revision, tries=ack.tries)
        self.done.append(ack)
        self.moments[customer, ack.revision] = time.time()
        self.latest[customer] = max(ack.revision, self.latest.get(customer, 0))

    def changes(self) -> dict[tuple[int, int], dict[str, Any]]:
        """Return each acknowledged repair by customer and revision."""
        return {
            (ack.body["customer_id"], ack.body["revision"]): ack.body
            for ack in self.done
            if "repair_id" in ack.body
        }


class Load:
    """Publishers of one trial. Half of the commands go to few customers, half to one each."""

    def __init__(self, url: str, key: str, rng: Random, file: Path, rate: float) -> None:
        """Send to this address with this key, so many commands a second; record all in a file."""
        self.acks = Acks(file)
        self.hot = [next(_customers) for _ in range(HOT)]
        self.cold: list[int] = []
        self.rate = rate
        self._url = url
        self._rng = rng
        self._prefix = f"chaos-{self.hot[0]}"
        self._numbers = itertools.count(1)
        self._free: list[dict[str, Any]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._ticking: asyncio.Task[None] | None = None
        self.http = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {key}"},
            connector=aiohttp.TCPConnector(limit=MOST_AT_ONCE + 8),
            timeout=aiohttp.ClientTimeout(total=TRY_SECONDS),
        )

    @property
    def customers(self) -> list[int]:
        """Return all customers of this load."""
        return [*self.hot, *self.cold]

    async def found(self, *customers: int) -> None:
        """Create customers in the writer, the hot ones by default."""
        for customer in customers or self.hot:
            await self.send(self.profile(customer))

    async def found_more(self, count: int) -> list[int]:
        """Create customers that get no commands from this load; their ids are consecutive."""
        made = [next(_customers) for _ in range(count)]
        await self.found(*made)
        return made

    def start(self) -> None:
        """Begin to send; the clock sets the pace, not the responses."""
        self._ticking = asyncio.create_task(self._tick())

    async def pause(self) -> None:
        """Send no new commands."""
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)
            self._ticking = None

    async def drain(self, seconds: float) -> None:
        """Stop sending and wait until each command has its response. Raises UnansweredError."""
        await self.pause()
        if self._tasks:
            done, late = await asyncio.wait(set(self._tasks), timeout=seconds)
            for task in done:
                task.result()
            if late:
                raise UnansweredError(f"{len(late)} commands without an answer after {seconds} s")

    async def close(self) -> None:
        """Cancel all pending commands."""
        await self.pause()
        for task in set(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.http.close()

    async def burst(self, count: int) -> list[Ack | None]:
        """Send so many commands at once and wait for their responses."""
        return list(await asyncio.gather(*(self.one() for _ in range(count))))

    async def one(self) -> Ack | None:
        """Draw a command and send it until it succeeds."""
        cold = self._rng.random() < 0.5
        kind = "record" if cold or not self._free else self._rng.choices(list(KINDS), list(KINDS.values()))[0]  # fmt: skip
        if kind != "record":
            repair = self._free.pop(self._rng.randrange(len(self._free)))
            return await self.send(self._change(kind, repair))
        customer = next(_customers) if cold else self._rng.choice(self.hot)
        if cold:
            self.cold.append(customer)
            await self.send(self.profile(customer))
        return await self.send(self.record(customer))

    def forget_repairs(self) -> None:
        """Exclude all repairs recorded so far from changes: a restore changes their state."""
        self._free.clear()

    def profile(self, customer: int) -> Command:
        """Return the command that creates a customer."""
        key = self._key()
        body = {"name": f"Fleet {customer}"}
        return Command(key, "profile", customer, "PUT", f"/v1/customers/{customer}", body)

    def record(self, customer: int, **said: object) -> Command:
        """Return the command that records a repair of a customer."""
        key = self._key()
        at = datetime(2026, 2, 1, tzinfo=UTC) - timedelta(minutes=self._rng.randrange(500_000))
        body = {
            "customer_id": customer,
            "unit_number": f"TRUCK {self._rng.randrange(1, 12):02d}",
            "repair_date": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "status": self._rng.choice(rules.STATUSES[:4]),
            "damage_type": "star break",
            "cost": f"{self._rng.randrange(10, 200)}.{self._rng.randrange(100):02d}",
            "source_ref": key,
            **said,
        }
        return Command(key, "record", customer, "POST", "/v1/repairs", body)

    def move(self, repair: dict[str, Any], customer: int) -> Command:
        """Return the command that moves a repair to another customer, and reserve the repair."""
        self._free = [one for one in self._free if one["repair_id"] != repair["repair_id"]]
        body = {"reason": "chaos", "customer_id": customer}
        return self._command("move", repair, "PATCH", f"/v1/repairs/{repair['repair_id']}", body)

    def _change(self, kind: str, repair: dict[str, Any]) -> Command:
        """Return a change of a repair that no other command is changing."""
        path, said = f"/v1/repairs/{repair['repair_id']}", {"reason": "chaos"}
        moves = rules.MOVES[repair["status"]]
        if kind == "status" and moves:
            said["status"] = self._rng.choice(moves)
            return self._command(kind, repair, "POST", f"{path}/status", said)
        if kind == "remove":
            return self._command(kind, repair, "DELETE", path, said)
        others = [customer for customer in self.hot if customer != repair["customer_id"]]
        if kind == "move" and others:
            return self._command(
                kind, repair, "PATCH", path, {**said, "customer_id": self._rng.choice(others)}
            )
        unit = f"VAN {next(self._numbers):05d}"
        return self._command("correct", repair, "PATCH", path, {**said, "unit_number": unit})

    def _command(
        self, kind: str, repair: dict[str, Any], method: str, path: str, body: dict[str, Any]
    ) -> Command:
        return Command(self._key(), kind, repair["customer_id"], method, path, body)

    def _key(self) -> str:
        return f"{self._prefix}-{next(self._numbers)}"

    async def send(self, command: Command) -> Ack | None:
        """Send a command until it succeeds; return None after a permanent rejection."""
        self.acks.note("invoke", command, customer=command.customer)
        invoked, tries = time.monotonic(), 0
        while True:
            tries += 1
            found = await self._once(command)
            if found is None:
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            status, headers, body = found
            if status in (200, 201):
                break
            self.acks.refused[f"{command.kind} {status} {body.get('type', '')}"] += 1
            self.acks.note("refused", command, status=status, body=body)
            return None
        revision = int(headers["Portal-Revision"])
        ack = Ack(command, status, revision, body, invoked, time.monotonic(), tries)
        self.acks.take(ack)
        if "repair_id" in body and not body["removed"] and body["customer_id"] in self.hot:
            self._free.append(body)
        return ack

    async def _once(self, command: Command) -> tuple[int, Any, dict[str, Any]] | None:
        """Try once; return None when a retry is needed."""
        try:
            async with self.http.request(
                command.method,
                self._url + command.path,
                json=command.body,
                headers={"Idempotency-Key": command.key},
            ) as answer:
                body = json.loads(await answer.read() or b"{}")
        except (aiohttp.ClientError, TimeoutError, OSError):
            self.acks.broken += 1
            return None
        self.acks.statuses[answer.status] += 1
        if answer.status in AGAIN or str(body.get("type", "")).endswith("/key-running"):
            return None
        return answer.status, answer.headers, body

    async def _tick(self) -> None:
        while True:
            if len(self._tasks) < MOST_AT_ONCE:
                task = asyncio.create_task(self._forget_answer())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(self._rng.expovariate(self.rate))

    async def _forget_answer(self) -> None:
        await self.one()
