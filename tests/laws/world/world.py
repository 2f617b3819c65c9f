"""The simulated system in one loop without real time, and a schedule that decides each next step.

First the schedule runs: completions, failures, deaths, losses, the passing of time.
Afterwards nothing fails any more, every process is started again, and all copies must agree.
"""

import asyncio
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, Final

from tests.laws.world import processes
from tests.laws.world.cache import Server
from tests.laws.world.calls import Call, Calls, Process
from tests.laws.world.doors import BEGINNING
from tests.laws.world.faults import FAULTS, Fault
from tests.laws.world.kafka import Group, MemoryConsumer, Topic
from tests.laws.world.schedule import Schedule, SteppedLoop
from tests.laws.world.store import MemoryConnection, Tables
from tests.laws.world.truth import Truth
from tests.laws.world.writer import State, Writer

#: Longer than the life of cached counts, the wait of a customer in trouble, and a driver's
#: patience.
HEALS_WITHIN_SECONDS: Final = 150.0
_ROLES: Final = {
    "relay-1": processes.relay,
    "relay-2": processes.relay,
    "projector-1": processes.projector,
    "projector-2": processes.projector,
}


class World:
    """One run. `trace` records the steps, for the analysis of a failure."""

    def __init__(self, decisions: bytes, fault: Fault) -> None:
        """Create a simulation in which `fault` can happen, and a few others that the decisions
        choose.
        """
        self.schedule = Schedule(decisions)
        self.loop = SteppedLoop(self._idle)
        self.calls = Calls()
        self.writer = Writer(self.now)
        self.topic = Topic()
        self.group = Group(self.run_in)
        self.tables = Tables(self.now)
        self.redis = Server(self.seconds)
        self.truth = Truth(self)
        self.connections: list[MemoryConnection] = []
        self.consumers: dict[str, MemoryConsumer] = {}
        self.processes: dict[str, Process] = {}
        self.trace: list[str] = []
        self.kept: State | None = None
        self._tasks: dict[Process, set[asyncio.Task[Any]]] = {}
        more = self.schedule.pick(4)  # many at once would hide each other
        self._faults = [fault, *(FAULTS[self.schedule.pick(len(FAULTS))] for _ in range(more))]
        self._healed_at: float | None = None
        self._done = self.loop.create_future()

    def seconds(self) -> float:
        """Return the time of the loop."""
        return self.loop.time()

    def now(self) -> datetime:
        """Return the time of day."""
        return BEGINNING + timedelta(seconds=self.loop.time())

    def run(self) -> None:
        """Run to the end. Raises AssertionError for a broken invariant."""
        try:
            self.loop.run_until_complete(self._all())
        except BaseException as error:
            error.add_note("\n".join(["What happened:", *self.trace]))
            raise
        finally:
            self._end()

    async def _all(self) -> None:
        for name in _ROLES:
            self.start(name)
        await self._done

    def _end(self) -> None:
        self._healed_at = None
        for process in self.processes.values():
            self.calls.end(process)
        rest = asyncio.all_tasks(self.loop)
        for task in rest:
            task.cancel()
        self._done.cancel()
        if rest:
            self.loop.run_until_complete(asyncio.wait(rest))
        self.loop.close()

    # Steps.

    def _idle(self, seconds: float | None) -> None:
        if not self.processes or self._done.done():
            self.loop.pass_time(seconds or 0.0)
            return
        self.truth.look()
        if self.schedule.used_up:
            self._heal(seconds)
            return
        answerable = self.calls.answerable()
        decision = self.schedule.byte()
        if decision < 120 and answerable:
            self._answer(answerable[self.schedule.pick(len(answerable))])
        elif decision < 160:
            self.pass_time(seconds)
        elif decision < 185:
            self.writer.begin(self.schedule)
        elif decision < 210 and self.writer.open:
            self._commit(self.schedule.pick(len(self.writer.open)))
        elif decision < 220 and self.calls.wire:
            self._arrive(self.schedule.pick(len(self.calls.wire)))
        elif self._faults:
            fault = self._faults[self.schedule.pick(len(self._faults))]
            self.trace.append(fault(self))
        elif answerable:
            self._answer(answerable[0])

    def _answer(self, call: Call) -> None:
        self.trace.append(call.name)
        self.calls.answer(call)

    def _commit(self, number: int) -> None:
        done = self.writer.commit(number)
        self.trace.append(f"the writer commits {done}")

    def _arrive(self, number: int) -> None:
        self.trace.append(f"late: {self.calls.wire[number][0]}")
        self.calls.arrive(number)

    def pass_time(self, seconds: float | None) -> None:
        """Advance to the next timer, or to the end of an empty poll."""
        self.loop.pass_time(min(0.25, seconds if seconds is not None else 0.25))

    def _heal(self, seconds: float | None) -> None:
        """Let everything recover, and time pass, until all copies agree (I4, I10)."""
        if self._healed_at is None:
            self._healed_at = self.seconds()
            self.trace.append("--- all is well from here on")
            self.writer.go_on()
            # Running processes get no further help: a new assignment would hide what they forgot.
            for name, process in self.processes.copy().items():
                if not process.alive:
                    self.start(name)
                elif process.halted:
                    process.halted = False
                    self.group.come_back(process)
        if self.calls.wire:
            self._arrive(0)
        elif self.writer.open:
            self._commit(0)
        elif answerable := self.calls.answerable():
            self._answer(answerable[0])
        else:
            differences = self.truth.differences()
            if not differences:
                self._done.set_result(None)
                return
            waited = self.seconds() - self._healed_at
            assert waited < HEALS_WITHIN_SECONDS, f"I4, I10: after {waited:.0f} s {differences}"
            self.pass_time(seconds)

    # Processes.

    def start(self, name: str) -> None:
        """Start a process, as its supervisor would."""
        process = self.processes[name] = Process(name)
        self._tasks[process] = set()
        self.run_in(process, _ROLES[name](self, process))

    def run_in(self, process: Process, work: Coroutine[Any, Any, Any]) -> None:
        """Run a task of a process; its failure ends the whole process."""
        if not process.alive:
            work.close()
            return
        task = self.loop.create_task(work)
        self._tasks[process].add(task)
        task.add_done_callback(lambda task: self._ended(process, task))

    def _ended(self, process: Process, task: "asyncio.Task[Any]") -> None:
        self._tasks[process].discard(task)
        if task.cancelled() or not process.alive:
            return
        error = task.exception()
        if error is not None:
            self.loop.call_soon(self._fail, error)

    def _fail(self, error: BaseException) -> None:
        if not self._done.done():
            self._done.set_exception(error)

    def kill(self, process: Process) -> None:
        """End a process as `kill -9` does."""
        self.calls.end(process)
        for connection in [one for one in self.connections if one.process is process]:
            connection.terminate()
            self.connections.remove(connection)
        outbox = self.writer.leader
        if outbox is not None and getattr(outbox, "process", None) is process:
            self.writer.leader = None
        for task in self._tasks[process]:
            task.cancel()
        self.group.rebalance()
