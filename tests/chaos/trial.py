"""One trial: a system under load, one scenario of faults, healing, then every invariant and hop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg
from deploy.local import control, once, process_id, processes
from deploy.local.layout import venv_command
from tests.chaos import topic
from tests.chaos.load import Load
from tests.chaos.reads import Readers
from tests.oracle import hops
from tests.oracle.compare import Places
from tests.oracle.settle import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from pathlib import Path

    from tests.chaos.measured import Measured
    from tests.chaos.system import ChaosStack

Found = TypeVar("Found")
FIRED_SECONDS = 30.0
READY_SECONDS = 90.0
HEAL_SECONDS = 90.0
#: Recovery limit: so many seconds after a fault, the numbers agree again.
PROMISED = {"kill -9": 15.0, "redis lost": 60.0, "kafka's data lost": 90.0}
#: Each of them has links.
RESTARTED = ("writer", "relay", "projector-1", "projector-2", "query", "gateway")
#: A hop that shows accepted changes within this time is up to date.
LIVE_SECONDS = 1.0


class InconclusiveError(Exception):
    """The scenario's fault did not happen, so the trial proves nothing."""


class NotStagedError(Exception):
    """This machine cannot stage the fault, for this reason; the table lists it by name."""


@dataclass(frozen=True)
class Scenario:
    """A row of the catalogue of faults, staged."""

    name: str
    row: str
    run: Callable[[Trial], Awaitable[None]]
    #: Whether readers may get no response at all: the scenario stops serving processes.
    may_break: bool = False
    #: Whether the topic is complete afterwards.
    topic_whole: bool = True
    #: Commands and reads a second.
    commands: float = 30.0
    reads: float = 12.0
    #: Whether processes connect directly: links are slower than the processes.
    direct: bool = False
    #: Share of the usual length in the short form, if it differs from the common one.
    short: float | None = None


class Trial:
    """State and operations of a trial, for its scenario."""

    def __init__(
        self,
        stack: ChaosStack,
        scenario: Scenario,
        seed: int,
        folder: Path,
        *,
        hold: float,
        slack: float,
    ) -> None:
        """Create a trial of a system. Faults last `hold` times, limits `slack` times as long."""
        folder.mkdir(parents=True, exist_ok=True)
        self.stack = stack
        self.links = stack.links
        self.scenario = scenario
        self.rng = Random(f"{seed} {scenario.name}")
        self.staged: Counter[str] = Counter()
        self.evidence: list[str] = []
        self.broken: list[str] = []
        #: One line for each process and load.
        self.measured: list[Measured] = []
        #: Background tasks beside the faults of a round, which waits for their end.
        self.beside: list[asyncio.Task[None]] = []
        #: Seconds from a fault to the agreement of all numbers, by the kind of the fault.
        self.recovered: dict[str, float] = {}
        self.struck = time.monotonic()
        self._hold = hold
        self._slack = slack
        self._stopped: set[int] = set()
        found = stack.description
        self.databases: dict[str, str] = found["postgres"]
        self.key: str = found["internal_key"]
        self.places = Places(
            writer_database=self.databases["writer"],
            portal_database=self.databases["portal"],
            redis=found["redis"],
            kafka=found["kafka"],
            topic=found["topic"],
            time_zone=found["time_zone"],
        )
        self.load = Load(
            stack.publisher_url, self.key, self.rng, folder / "acks.jsonl", scenario.commands
        )
        self.readers = Readers(
            stack.browser_url,
            self.rng,
            lambda customer: self.load.acks.latest.get(customer, 0),
            folder / "reads.jsonl",
            scenario.reads,
        )

    @property
    def owner_url(self) -> str:
        """Return the address of the database for its superuser."""
        cluster, at = self.stack.system.cluster, self.stack.system.ports["postgres"]
        return f"postgresql://postgres:{cluster.password}@127.0.0.1:{at}/rswind"

    @property
    def slack(self) -> float:
        """Return the factor of this machine for time limits."""
        return self._slack

    def stage(self, fault: str, proof: str) -> None:
        """Record that a fault has happened, with its evidence."""
        self.staged[fault] += 1
        self.evidence.append(f"{fault}: {proof}")

    def expect(self, holds: object, law: str) -> None:
        """Record a violation unless the condition holds."""
        if not holds:
            self.broken.append(law)

    def lasting(self, seconds: float) -> float:
        """Return how long a fault lasts: the short form is shorter, the long form longer."""
        return seconds * self._hold

    async def hold(self, seconds: float) -> None:
        """Let a fault last."""
        await asyncio.sleep(self.lasting(seconds))

    async def until(
        self, holds: Callable[[], Any], what: str, seconds: float = FIRED_SECONDS
    ) -> None:
        """Wait until a condition of the fault holds. Raises InconclusiveError."""
        seconds *= self._slack
        deadline = time.monotonic() + seconds
        while True:
            found = holds()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            if time.monotonic() > deadline:
                raise InconclusiveError(f"{what}: not within {seconds:.0f} s")
            await asyncio.sleep(0.05)

    async def acked(self, more: int, seconds: float = FIRED_SECONDS) -> None:
        """Wait until so many more commands have been acknowledged."""
        before = len(self.load.acks.done)
        await self.until(lambda: len(self.load.acks.done) >= before + more, f"{more} acks", seconds)

    async def fire(self, point: str, action: str = "kill") -> int:
        """Arm a failpoint, wait until a process has passed it, and return that process's id."""
        folder = self.stack.system.failpoints
        before = set(folder.glob(f"{point}.fired.*"))
        fresh = folder / f"{point}.new"
        fresh.write_text(action)
        fresh.rename(folder / point)
        try:
            await self.until(
                lambda: set(folder.glob(f"{point}.fired.*")) - before, f"{point} fires"
            )
        finally:
            (folder / point).unlink(missing_ok=True)
        self.struck = time.monotonic()
        (fired,) = set(folder.glob(f"{point}.fired.*")) - before
        pid = int(fired.name.rpartition(".")[2])
        if action == "kill":
            await self.until(lambda: process_id.is_gone(pid), f"process {pid} is gone")
        if action == "stop":
            self._stopped.add(pid)
        self.stage(f"{point} {action}", f"process {pid}")
        return pid

    async def fire_by(
        self, work: Coroutine[Any, Any, Found], point: str, action: str = "kill"
    ) -> Found:
        """Arm a failpoint, lead a process past it, and return the result of that."""
        firing = asyncio.create_task(self.fire(point, action))
        folder = self.stack.system.failpoints
        await self.until(lambda: (folder / point).exists() or firing.done(), f"{point} is armed")
        found = await work
        await firing
        return found

    async def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Send a deadly signal to a process and wait for its end; return its former id."""
        pid = self.stack.pids(name)[name]
        os.kill(pid, number)
        self.struck = time.monotonic()
        await self.until(lambda: process_id.is_gone(pid), f"{name} is gone", 60)
        self.stage(f"{signal.Signals(number).name} {name}", f"process {pid} is gone")
        return pid

    def supervised(self) -> dict[str, dict[str, Any]]:
        """Return the supervisor's state of each process by name, with its last exit status."""
        return {one["name"]: one for one in control.processes(self.stack.system.place)}

    async def freeze(self, *names: str) -> dict[str, int]:
        """Pause processes; `thaw` resumes them."""
        pids = self.stack.pids(*names)
        for name, pid in pids.items():
            os.kill(pid, signal.SIGSTOP)
            self._stopped.add(pid)
            await self.until(partial(_stands, pid), f"{name} stands")
            self.stage(f"SIGSTOP {name}", f"process {pid} stands")
        return pids

    def thaw(self) -> None:
        """Resume every paused process."""
        for pid in self._stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._stopped.clear()

    async def down(self, *names: str) -> None:
        """Stop processes in order and keep them down until `ready`."""
        await asyncio.to_thread(self.stack.hold, *names)
        self.stage(f"down {' '.join(names)}", "the supervisor holds them")

    async def refold(self, *options: str) -> None:
        """Run `portal-query refold` as an operator does. Raises Trouble when that fails."""
        at, secrets = self.stack.system.at, self.stack.system.secrets
        argv = [venv_command("portal-query"), "refold", *options]
        env = processes.projector(at, secrets)
        await asyncio.to_thread(once.run, "refold", argv, env, self.stack.system.place)

    async def ready(self) -> None:
        """Heal every fault of the harness, and wait until the system is ready."""
        self.thaw()
        self.links.flow()
        self.stack.want()
        try:
            await self.until(self._is_ready, "the system is ready", READY_SECONDS)
        except InconclusiveError as late:
            self.broken.append(f"I10: {late}")

    async def use_links(self, *, direct: bool) -> None:
        """Connect processes over links, or directly; restart those for which that is new."""
        if self.stack.system.direct == direct:
            return
        before = set(self.stack.pids(*RESTARTED).values())
        self.stack.system.direct = direct
        self.stack.want()
        await self.until(
            lambda: not before & set(self.stack.pids(*RESTARTED).values()), "processes restart", 60
        )
        await self.ready()

    async def _is_ready(self) -> bool:
        return bool((await asyncio.to_thread(self.stack.status))["ready"])

    async def sql(self, statement: str, *values: object) -> list[Any]:
        """Run a statement as superuser."""
        connection = await asyncpg.connect(self.owner_url)
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()

    async def database_is_back(self) -> None:
        """Wait until Postgres responds again after its kill."""

        async def answers() -> bool:
            try:
                return bool(await self.sql("SELECT 1"))
            except (OSError, asyncpg.PostgresError):
                return False

        await self.until(answers, "PostgreSQL answers", READY_SECONDS)

    async def one(self, statement: str, *values: object) -> Any:
        """Return the first value of a statement as superuser."""
        return (await self.sql(statement, *values))[0][0]

    async def sent(self) -> None:
        """Wait until the outbox is empty."""

        async def empty() -> bool:
            return bool(await self.one("SELECT count(*) = 0 FROM writer.outbox"))

        await self.until(empty, "the outbox is empty", 60)

    async def applied(self) -> None:
        """Wait until the read model reaches the writer's revisions, for the customers of this
        trial.
        """
        await eventually(self._caught_up, "the read model at the writer's heads", HEAL_SECONDS)

    async def agree_again(self, blow: str) -> None:
        """Wait until numbers agree under load, and compare the time since the last fault with its
        limit.

        They agree when Postgres holds all accepted changes, and Redis lacks none, within a second.
        """
        end = self.struck + PROMISED[blow] * self._slack
        took = asked = 0.0
        while took == 0.0 or time.monotonic() - asked > LIVE_SECONDS:
            asked = time.monotonic()
            heads = await self._revisions("writer", self.load.customers)
            while behind := await self._behind(heads):
                if time.monotonic() > end:
                    self.broken.append(f"I10: after {blow} numbers do not agree in time: {behind}")
                    return
                await asyncio.sleep(0.05)
            took = time.monotonic() - self.struck
        self.recovered[blow] = round(max(took, self.recovered.get(blow, 0.0)), 1)

    async def offsets_are_behind(self) -> None:
        """Check that Postgres holds all events before the group's offsets."""
        told = await topic.told(self.places, self.load.customers)
        folded = await self._revisions("portal", list(told))
        ahead = {one: n for one, n in told.items() if n > folded.get(one, 0)}
        self.expect(not ahead, f"I1: the offsets are ahead of what is counted: {ahead}")
        self.evidence.append(f"offsets: {len(told)} customers told of, {len(ahead)} not counted")

    async def _behind(self, heads: dict[int, int]) -> str:
        """Return the hops that lack accepted changes; empty when all are complete."""
        folded = await self._revisions("portal", list(heads))
        held = await hops.documents(self.places.redis, self.load.hot)
        shown = {customer: int(one[b"revision"]) for customer, one in held.items()}
        late = {n: (folded.get(n, 0), head) for n, head in heads.items() if folded.get(n, 0) < head}
        stale = {n: (at, heads[n]) for n, at in shown.items() if at < heads[n]}
        return f"in Postgres {late}, in Redis {stale}"[:300] if late or stale else ""

    async def _revisions(self, schema: str, customers: list[int]) -> dict[int, int]:
        rows = await self.sql(
            f"SELECT customer_id, revision FROM {schema}.customer WHERE customer_id = ANY($1)",
            customers,
        )
        return {row["customer_id"]: row["revision"] for row in rows}

    async def _caught_up(self) -> bool:
        behind = await self.one(
            "SELECT count(*) FROM writer.customer w LEFT JOIN portal.customer p USING (customer_id) "
            "WHERE w.customer_id = ANY($1) "
            "AND (p.revision, p.event_id) IS DISTINCT FROM (w.revision, w.event_id)",
            self.load.customers,
        )
        return not behind

    async def close(self) -> None:
        """Leave a healthy system behind."""
        for task in self.beside:
            task.cancel()
        await asyncio.gather(*self.beside, return_exceptions=True)
        await self.readers.close()
        await self.load.close()
        self.stack.system.spares.clear()
        await self.ready()


def _stands(pid: int) -> bool:
    fields = process_id._stat(pid)
    return bool(fields) and fields[0] == "T"
