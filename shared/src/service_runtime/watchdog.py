"""Watchdog: ends a process that cannot use a store which works on a new connection.

A path is the way of requests to a store: their pool or loader, with its deadline.
Its control is the same query over a new connection. While both fail, the store is unavailable and
the process waits. While only the path fails, the process is stuck: it has lost a resource. It
becomes unready, then exits, and the supervisor or the container engine restarts it.
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

#: Exit status of a stuck process: EX_TEMPFAIL of sysexits(3), "try again".
STUCK_STATUS: Final = 75
_EVERY_SECONDS: Final = 1.0
#: In checks, one a second: stuck after ten, exit after twenty.
_STUCK_AFTER: Final = 10
_ENDS_AFTER: Final = 20
#: Longer than any wait of a request, so that a check succeeds where requests are rejected.
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
    """State from which only a restart of the process recovers."""


class _Path:
    """One path to a store, with its number of consecutive failures."""

    def __init__(self, name: str, check: Check, control: Check) -> None:
        self.name = name
        self._check = check
        self._control = control
        self.failures = 0
        self.stuck = ""
        self._gauge = _STUCK.labels(name)
        self._gauge.set(0)

    async def ready(self) -> None:
        """Raise while requests cannot use the store; StuckError if the process is the cause."""
        try:
            await self._used()
        except Exception as error:
            if self.stuck:
                raise StuckError(self.stuck) from error
            raise

    async def not_stuck(self) -> None:
        """Raise StuckError while the process is the cause: it can work without this store."""
        if self.stuck:
            raise StuckError(self.stuck)

    async def look(self) -> None:
        """Check the path once; after ten failures in a row check the control as well."""
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
    """Watchdog of the paths of one process; each is a part of `/readyz`."""

    def __init__(self, health: Health, *, every_seconds: float = _EVERY_SECONDS) -> None:
        self._health = health
        self._every = every_seconds
        self._paths: list[_Path] = []

    def watch(self, name: str, check: Check, control: Check, *, required: bool = True) -> None:
        """Add a path: `check` uses it as requests do, `control` uses a new connection.

        A process that can work without the store (`required=False`) is unready only while stuck.
        """
        path = _Path(name, check, control)
        self._paths.append(path)
        self._health.register(name, path.ready if required else path.not_stuck)

    async def run(self) -> None:
        """Check all paths until cancelled. Raises StuckError, which must end the process."""
        async with asyncio.TaskGroup() as group:
            for path in self._paths:
                group.create_task(self._follow(path))

    async def _follow(self, path: _Path) -> None:
        while True:
            await asyncio.sleep(self._every)
            await path.look()
            if path.stuck and path.failures >= _ENDS_AFTER:
                # The stuck resource may also block the shutdown.
                asyncio.get_running_loop().call_later(_LEAVE_SECONDS, os._exit, STUCK_STATUS)
                raise StuckError(path.stuck)
