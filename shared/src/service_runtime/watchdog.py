"""Watchdog: a process that cannot use a store which answers others is not ready, and ends itself.

A path is how requests use a store: through the pool or the loader that they use, with its
deadline. Its control is the same question over a new connection. While both fail the store is
unavailable, and the process waits. While only the path fails the process is stuck: it has lost
something that it needs, and the supervisor or the container engine starts another one.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Final

from prometheus_client import Gauge

from service_runtime.errors import OverloadedError
from service_runtime.logs import get
from service_runtime.metrics import REGISTRY
from service_runtime.ops import Health

#: Exit status of a process that was stuck: EX_TEMPFAIL of sysexits(3), "try again".
STUCK_STATUS: Final = 75
_EVERY_SECONDS: Final = 1.0
#: One check a second: stuck after ten seconds, given up after twenty.
_STUCK_AFTER: Final = 10
_ENDS_AFTER: Final = 20
#: More than a request waits for anything, so that a check is served where requests are refused.
_CHECK_SECONDS: Final = 2.0
_CONTROL_SECONDS: Final = 3.0
_LEAVE_SECONDS: Final = 10.0

_STUCK = Gauge(
    "repair_path_stuck",
    "1 while requests cannot use a store that answers on a new connection.",
    ["path"],
    registry=REGISTRY,
)

Check = Callable[[], Awaitable[None]]


class StuckError(Exception):
    """The process cannot recover by itself; another one has to be started."""


class _Path:
    """One way to a store, and how often in a row it has failed."""

    def __init__(self, name: str, check: Check, control: Check) -> None:
        self.name = name
        self._check = check
        self._control = control
        self.failures = 0
        self.stuck = ""
        self._gauge = _STUCK.labels(name)
        self._gauge.set(0)

    async def ready(self) -> None:
        """Raise while requests cannot use the store; say so when the process is to blame."""
        try:
            await self._used()
        except Exception as error:
            if self.stuck:
                raise StuckError(self.stuck) from error
            raise

    async def not_stuck(self) -> None:
        """Raise only while the process is to blame: it can work without this store."""
        if self.stuck:
            raise StuckError(self.stuck)

    async def look(self) -> None:
        """Use the path once, and the control when the path has failed for long."""
        try:
            await self._used()
        except Exception as error:  # noqa: BLE001 - whatever it is, requests get the same
            self.failures += 1
            reason = str(error) or type(error).__name__
            busy = isinstance(error, OverloadedError)
        else:
            self._move(0, "")
            return
        if self.failures >= _STUCK_AFTER and await self._store_answers():
            state = "is full" if busy else "fails"
            self._move(
                self.failures,
                f"{self.name} {state} for {self.failures} checks in a row ({reason}), "
                "while a new connection works",
            )
        else:
            self._move(min(self.failures, _STUCK_AFTER), "")

    async def _used(self) -> None:
        async with asyncio.timeout(_CHECK_SECONDS):
            await self._check()

    async def _store_answers(self) -> bool:
        try:
            async with asyncio.timeout(_CONTROL_SECONDS):
                await self._control()
        except Exception:  # noqa: BLE001 - whatever it is, the store is no better for others
            return False
        return True

    def _move(self, failures: int, stuck: str) -> None:
        if bool(stuck) != bool(self.stuck):
            if stuck:
                get().error("path_stuck", path=self.name, reason=stuck)
            else:
                get().info("path_recovered", path=self.name)
        self.failures = failures
        self.stuck = stuck
        self._gauge.set(bool(stuck))


class Watchdog:
    """Follows the paths of one process; each is a part of `/readyz`."""

    def __init__(self, health: Health, *, every_seconds: float = _EVERY_SECONDS) -> None:
        self._health = health
        self._every = every_seconds
        self._paths: list[_Path] = []

    def watch(self, name: str, check: Check, control: Check, *, required: bool = True) -> None:
        """Follow a path: `check` uses it as requests do, `control` uses a new connection.

        A process that can work without the store (`required=False`) is unready only when stuck.
        """
        path = _Path(name, check, control)
        self._paths.append(path)
        self._health.register(name, path.ready if required else path.not_stuck)

    async def run(self) -> None:
        """Follow all paths until cancelled. Raises StuckError, which has to end the process."""
        async with asyncio.TaskGroup() as group:
            for path in self._paths:
                group.create_task(self._follow(path))

    async def _follow(self, path: _Path) -> None:
        while True:
            await asyncio.sleep(self._every)
            await path.look()
            if path.stuck and path.failures >= _ENDS_AFTER:
                # What is stuck may also hold up the end.
                asyncio.get_running_loop().call_later(_LEAVE_SECONDS, os._exit, STUCK_STATUS)
                raise StuckError(path.stuck)
