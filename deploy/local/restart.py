"""Restart of one process without failed requests: its socket stays open in the supervisor."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from deploy.local import control, probe
from deploy.local.trouble import Trouble

if TYPE_CHECKING:
    from deploy.local.system import System

BACK_SECONDS = 60.0


def restart(system: System, name: str) -> None:
    """Stop an own process in order and wait until its successor is ready.

    Raises Trouble if the process is unknown, is down, or does not restart.
    """
    ours = {spec.name: spec for spec in system.services()}
    if name not in ours:
        raise Trouble(f"there is no process called {name}", f"There are: {', '.join(ours)}.")
    pid = _pid(system, name)
    if pid is None:
        raise Trouble(f"{name} does not run", "Start everything with ./dev up.")
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, ours[name].stop_signal)
    wait_back(system, name, pid)


def wait_back(system: System, name: str, pid: int) -> None:
    """Wait until the process with the id `pid` has a successor and the system is ready. Raises Trouble."""

    def is_back() -> bool:
        running = control.processes(system.place)
        return _pid(system, name) not in {None, pid} and system.is_ready(running)

    if not probe.eventually(is_back, BACK_SECONDS):
        log = system.place.logs / f"{name}.log"
        raise Trouble(f"{name} is not back after {BACK_SECONDS:.0f} s", "See its log.", str(log))


def _pid(system: System, name: str) -> int | None:
    for found in control.processes(system.place):
        if found["name"] == name and found["pid"]:
            return int(found["pid"])
    return None
