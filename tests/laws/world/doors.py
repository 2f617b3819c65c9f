"""Patches that replace all outside access of production code for addresses in memory.

They cover the functions that run SQL, those that open a connection, and the machine's clock.
Production code calls them unchanged. Real addresses keep the real implementation.
"""

import asyncio
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial, wraps
from typing import Any, Final

from tests.laws.world.calls import InMemory
from tests.laws.world.schedule import SteppedLoop

import portal_query.read_model
from repair_writer.store import outbox
from service_runtime.clock import SystemClock

#: Date at time 0 of a stepped loop.
BEGINNING: Final = datetime(2026, 3, 1, tzinfo=UTC)
_OURS: Final = ("portal_query", "repair_writer", "service_runtime")


class Address(str):
    """Address of something in memory: `open` returns the object that the real function would."""

    __slots__ = ("open",)
    open: Callable[..., Any]

    @classmethod
    def of(cls, what: Callable[..., Any]) -> "Address":
        """Return an address that opens the result of `what`."""
        made = cls("memory://")
        made.open = what
        return made


@contextmanager
def opened() -> Iterator[None]:
    """Install the patches for the duration of the block."""
    undo: list[Callable[[], None]] = []
    for name, function in _statements():
        _replace(function, _statement(name, function), undo)
    for module, name in (
        ("service_runtime.postgres", "connect"),
        ("repair_writer.store.outbox", "connect_leader"),
        ("service_runtime.kafka.consumer", "create_consumer"),
        ("service_runtime.kafka.topics", "Topics"),
    ):
        real = getattr(importlib.import_module(module), name)
        _replace(real, _opener(real), undo)
    for name, method in (("now", _now), ("monotonic", _monotonic)):
        real = getattr(SystemClock, name)
        undo.append(partial(setattr, SystemClock, name, real))
        setattr(SystemClock, name, method(real))
    try:
        yield
    finally:
        for one in undo:
            one()


def _statements() -> Iterator[tuple[str, Callable[..., Awaitable[Any]]]]:
    """Yield every function of the SQL modules that runs on a connection, by module and name."""
    package = portal_query.read_model
    modules = [
        importlib.import_module(f"{package.__name__}.{one.name}")
        for one in pkgutil.iter_modules(package.__path__)
    ]
    for module in (*modules, outbox):
        for name, function in vars(module).items():
            if not inspect.iscoroutinefunction(function) or function.__module__ != module.__name__:
                continue
            first = next(iter(inspect.signature(function).parameters), None)
            if first in {"connection", "pool"}:
                yield f"{module.__name__.rpartition('.')[2]}.{name}", function


def _statement(name: str, real: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @wraps(real)
    async def door(connection: Any, *values: Any, **named: Any) -> Any:
        if isinstance(connection, InMemory):
            return await connection.statement(name, *values, **named)
        return await real(connection, *values, **named)

    return door


def _opener(real: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(real, updated=())
    def door(address: str, *values: Any, **named: Any) -> Any:
        if isinstance(address, Address):
            return address.open(real.__name__)
        return real(address, *values, **named)

    return door


def _now(real: Callable[[SystemClock], datetime]) -> Callable[[SystemClock], datetime]:
    def now(clock: SystemClock) -> datetime:
        loop = _stepped()
        return real(clock) if loop is None else BEGINNING + timedelta(seconds=loop.time())

    return now


def _monotonic(real: Callable[[SystemClock], float]) -> Callable[[SystemClock], float]:
    def monotonic(clock: SystemClock) -> float:
        loop = _stepped()
        return real(clock) if loop is None else loop.time()

    return monotonic


def _stepped() -> SteppedLoop | None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    return loop if isinstance(loop, SteppedLoop) else None


def _replace(real: Any, door: Any, undo: list[Callable[[], None]]) -> None:
    """Install a patch wherever our code has bound the patched function."""
    for module in list(sys.modules.values()):
        if not getattr(module, "__name__", "").startswith(_OURS):
            continue
        for name, value in list(vars(module).items()):
            if value is real:
                setattr(module, name, door)
                undo.append(partial(setattr, module, name, real))
