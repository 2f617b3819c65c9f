"""One process made anew while everything else goes on: its socket stays open in the supervisor, so nobody is refused."""

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
    """End a process of ours in order and wait until its successor is ready.

    Raises Trouble when there is no such process, when it does not run, or when it does not come back.
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
    """Wait until a process that had the id `pid` has a successor, and the system is ready. Raises Trouble."""

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
