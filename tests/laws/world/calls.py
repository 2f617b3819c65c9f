"""Calls of a process to the outside world: each waits here until the simulation completes it.

A call may succeed, or fail before or after it took effect.
Its caller may give it up, and it may take effect later all the same.
A call of a dead process never completes.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from service_runtime.kafka import KafkaError

Answer = TypeVar("Answer")

#: Possible results for a caller that no longer waits.
_NOT_OUR_MISTAKES: Final = (OSError, KafkaError)


@dataclass(eq=False)
class Process:
    """Owner of calls. A halted process gets no results for now; a dead one never again."""

    name: str
    alive: bool = True
    halted: bool = False


@dataclass(eq=False)
class Call:
    """One call, with the arguments of `Calls.ask`."""

    process: Process
    name: str
    do: Callable[[], Any]
    ready: Callable[[], bool]
    error: Callable[[], Exception] | None
    late: bool
    undone: bool
    future: "asyncio.Future[Any]"


@dataclass(eq=False)
class Calls:
    """All calls in flight: `pending` with a waiting caller, `wire` without one."""

    pending: list[Call] = field(default_factory=list)
    wire: list[tuple[str, Callable[[], Any]]] = field(default_factory=list)

    async def ask(
        self,
        process: Process,
        name: str,
        do: Callable[[], Answer],
        *,
        error: Callable[[], Exception] | None = None,
        ready: Callable[[], bool] = lambda: True,
        late: bool = False,
        undone: bool = False,
    ) -> Answer:
        """Wait for the result of `do`, which takes effect in one moment.

        It may raise the exception of `error`; without one it never fails.
        `late`: it may take effect after its caller has given it up.
        `undone`: a failed call has had no effect.
        """
        if not process.alive:
            raise asyncio.CancelledError
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        call = Call(process, name, do, ready, error, late, undone, future)
        self.pending.append(call)
        try:
            return await future
        except asyncio.CancelledError:
            self._give_up(call)
            raise

    def answerable(self) -> list[Call]:
        """Return the calls that can complete now, the oldest first."""
        return [one for one in self.pending if not one.process.halted and one.ready()]

    def answer(self, call: Call) -> None:
        """Let a call take effect and return its result."""
        self.pending.remove(call)
        try:
            found = call.do()
        except AssertionError:
            raise
        except Exception as error:  # noqa: BLE001 - the world's answer to that call
            _set(call.future, error)
        else:
            if not call.future.done():
                call.future.set_result(found)

    def fail(self, call: Call, *, after: bool) -> None:
        """Let a call fail: before it took effect, or `after` that."""
        assert call.error is not None
        self.pending.remove(call)
        if after and not call.undone:
            with suppress(*_NOT_OUR_MISTAKES):
                call.do()
        _set(call.future, call.error())

    def arrive(self, number: int) -> None:
        """Let an abandoned call take effect."""
        _, do = self.wire.pop(number)
        with suppress(*_NOT_OUR_MISTAKES):
            do()

    def end(self, process: Process) -> None:
        """Complete no further calls; those in flight may still take effect."""
        process.alive = False
        for call in [one for one in self.pending if one.process is process]:
            self._give_up(call)

    def _give_up(self, call: Call) -> None:
        if call in self.pending:
            self.pending.remove(call)
            if call.late:
                self.wire.append((call.name, call.do))


def _set(future: "asyncio.Future[Any]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


class InMemory:
    """A connection in memory: it runs the statements of the SQL modules by their names."""

    async def statement(self, name: str, *values: Any, **named: Any) -> Any:
        """Run one statement."""
        raise NotImplementedError
