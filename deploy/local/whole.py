"""Whole system for a test: started as by `./dev up`, in a temporary folder, on its own ports."""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from deploy.local import addresses, borrowed, control, ports, probe, restart, say, start, valkey
from deploy.local.claim import claim
from deploy.local.system import System
from deploy.local.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BACK_SECONDS = 60.0


class Stack:
    """Running system: its state as in `./dev status --json`, and control of its processes."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.description: dict[str, Any] = system.status()

    def status(self) -> dict[str, Any]:
        """Return the current object of `./dev status --json`."""
        return self.system.status()

    def process(self, name: str) -> dict[str, Any]:
        """Return the entry of one process in the status."""
        return next(found for found in self.status()["processes"] if found["name"] == name)

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to a process, SIGKILL by default; return its process id."""
        pid = int(self.process(name)["pid"])
        os.kill(pid, number)
        return pid

    def wait_back(self, name: str, pid: int) -> None:
        """Wait until the process with the id `pid` has a successor and the system is ready. Raises Trouble."""
        restart.wait_back(self.system, name, pid)

    def hold(self, *names: str) -> None:
        """Stop processes until `release`."""
        specs = [*self.system.backends(), *self.system.services()]
        control.want(self.system.place, [spec for spec in specs if spec.name not in names])
        gone = probe.eventually(lambda: not set(names) & self._running(), BACK_SECONDS)
        if not gone:
            raise Trouble(f"{', '.join(names)} did not stop")

    def release(self) -> None:
        """Start the stopped processes, and wait until the system is ready. Raises Trouble."""
        control.want(self.system.place, [*self.system.backends(), *self.system.services()])
        if not probe.eventually(lambda: bool(self.status()["ready"]), BACK_SECONDS):
            raise Trouble("the system is not ready again")

    def lose(self, *stores: str) -> None:
        """Delete the data of these, running or not: `portal` (the schema), `kafka`, `valkey`, `postgres`.

        The system gets no notice: `start_again` has to detect the loss, as `./dev up` does.
        """
        system = self.system
        if "portal" in stores:
            drop = "DROP SCHEMA IF EXISTS portal CASCADE"
            system.cluster.run_sql(system.ports["postgres"], addresses.DATABASE, sql=drop)
        folders = {
            "kafka": [system.broker.data],
            "valkey": [
                valkey.settings_file(system.place, use).parent for use in ("documents", "limits")
            ],
            "postgres": [system.cluster.folder],
        }
        for store in stores:
            for folder in folders.get(store, ()):
                shutil.rmtree(folder, ignore_errors=True)

    def stop(self) -> None:
        """Stop everything, as `./dev down` does."""
        control.stop(self.system.place, lambda _: None)

    def start_again(self, *, demo: bool = False) -> list[str]:
        """Start stopped processes and recreate missing data, as `./dev up` does; return the text of each step."""
        said = say.Steps(start.STEPS, quiet=True)
        start.start(self.system, said, demo=demo)
        return said.said

    def _running(self) -> set[str]:
        return {found["name"] for found in self.status()["processes"] if found["pid"]}


@contextmanager
def started(environ: Mapping[str, str] | None = None, *, demo: bool = False) -> Iterator[Stack]:
    """Run a whole system during the body. `environ` may name servers to use instead of local ones."""
    with borrowed.temporary_place() as place:
        control.belong_to_this_process(place)
        system = System.prepare(place, environ or {}, dict.fromkeys(ports.USUAL, 0))
        try:
            with claim(place):
                start.start(system, say.Steps(start.STEPS, quiet=True), demo=demo)
            yield Stack(system)
        finally:
            control.stop(place, lambda _: None)
