"""Supervisor of the processes after `./dev up` has returned: `python -m deploy.local.supervisor STATE_FOLDER`.

It runs the processes of `wanted.json` and writes their state to `processes.json`. SIGHUP: read `wanted.json` again,
start new processes, stop removed ones. SIGTERM: stop everything in order and exit. It is independent of the system.
The system of a test ends when its owner process has ended for any reason.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
from pathlib import Path

from deploy.local import process_id
from deploy.local.child import Child
from deploy.local.layout import PRIVATE_UMASK, Place, read_json, write_json
from deploy.local.spec import Spec

LOG_BYTES = 16 * 2**20
LOOK_SECONDS = 2.0


class Supervisor:
    """Supervisor of all processes of one place."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.children: dict[str, Child] = {}
        self.again = asyncio.Event()
        self.end = asyncio.Event()

    def report(self) -> None:
        """Write the state of the processes to `processes.json`."""
        found = [child.report() for child in self.children.values()]
        try:
            write_json(self.place.running, {"supervisor": os.getpid(), "processes": found})
        except OSError as problem:
            # The supervisor must survive a full disk.
            print(f"could not write {self.place.running}: {problem}", flush=True)

    async def follow_wanted(self) -> None:
        """Start and stop processes until they match `wanted.json`."""
        wanted = {
            item["name"]: Spec(**item) for item in read_json(self.place.wanted).get("processes", [])
        }
        gone = [child for name, child in self.children.items() if wanted.get(name) != child.spec]
        await self._stop(gone)
        for name, spec in wanted.items():
            if name not in self.children:
                self._start(spec)
        self.report()

    def _start(self, spec: Spec) -> None:
        log = self.place.logs / f"{spec.name}.log"
        try:
            self.children[spec.name] = Child(spec, log, self.report)
        except OSError as problem:
            print(
                f"{spec.name}: port {spec.listen_port} cannot be listened on: {problem}", flush=True
            )

    async def _stop(self, children: list[Child]) -> None:
        for stage in sorted({child.spec.stage for child in children}, reverse=True):
            of_stage = [child for child in children if child.spec.stage == stage]
            await asyncio.gather(*(child.stop() for child in of_stage))
            for child in of_stage:
                self.children.pop(child.spec.name, None)
                self.report()

    async def run(self) -> None:
        """Supervise until SIGTERM, then stop everything in order."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self.again.set)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.end.set)
        self.again.set()
        looking = asyncio.create_task(self._look_after())
        while not self.end.is_set():
            waits = [asyncio.create_task(event.wait()) for event in (self.again, self.end)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            if self.again.is_set() and not self.end.is_set():
                self.again.clear()
                await self.follow_wanted()
        looking.cancel()
        await self._stop(list(self.children.values()))
        self.place.running.unlink(missing_ok=True)

    async def _look_after(self) -> None:
        while True:
            for child in self.children.values():
                bound(child.log)
            owner = read_json(self.place.owner)
            if owner and process_id.started(owner["pid"]) != owner["started"]:
                print("the owner of this system is gone", flush=True)
                self.end.set()
            await asyncio.sleep(LOOK_SECONDS)


def bound(log: Path) -> None:
    """Bound the size of a log: keep one older copy, and truncate the file in place (its writer appends)."""
    try:
        if log.stat().st_size <= LOG_BYTES:
            return
        older = log.with_name(f"{log.name}.1")
        older.write_bytes(log.read_bytes())
        os.truncate(log, 0)
    except OSError as problem:
        print(f"could not bound {log}: {problem}", flush=True)


def main(folder: str) -> int:
    """Run the supervisor of a folder; return 3 at once if another one runs."""
    # Data, logs and all other files of the servers are private to their owner.
    os.umask(PRIVATE_UMASK)
    place = Place(Path(folder))
    lock = os.open(place.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return 3
    _leave_the_terminal()
    asyncio.run(_serve(place))
    return 0


def _leave_the_terminal() -> None:
    """Continue as a daemon in a new session; the lock belongs to the open file and is inherited."""
    if os.fork():
        os._exit(0)
    os.setsid()


async def _serve(place: Place) -> None:
    await Supervisor(place).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
