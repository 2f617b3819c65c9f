"""Control of the supervisor: through its lock, its two files and signals."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from deploy.local import process_id
from deploy.local.layout import ROOT, Place, read_json, write_json
from deploy.local.probe import PAUSE_SECONDS, eventually
from deploy.local.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from deploy.local.spec import Spec

START_SECONDS = 20.0
# Four stages, each with its grace period.
STOP_SECONDS = 150.0
ORPHAN_SECONDS = 30.0


def supervisor(place: Place) -> int | None:
    """Return the process id of the running supervisor, None if there is none."""
    if not place.lock.exists():
        return None
    with place.lock.open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            pid = read_json(place.running).get("supervisor")
            return int(pid) if pid else 0
    return None


def processes(place: Place) -> list[dict[str, Any]]:
    """Return the supervisor's report of each process; empty without a supervisor."""
    if supervisor(place) is None:
        return []
    found = read_json(place.running).get("processes", [])
    return list(found)


def want(place: Place, specs: Sequence[Spec]) -> None:
    """Run exactly these processes; start the supervisor if necessary. Raises Trouble if it does not start."""
    write_json(place.wanted, {"processes": [spec.to_json() for spec in specs]})
    pid = supervisor(place)
    if pid:
        os.kill(pid, signal.SIGHUP)
        return
    _stop_orphans(place)
    place.running.unlink(missing_ok=True)
    log = place.logs / "supervisor.log"
    with log.open("a") as output:
        subprocess.run(
            [sys.executable, "-m", "deploy.local.supervisor", str(place.state)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
        )
    if not eventually(lambda: bool(supervisor(place)), START_SECONDS):
        raise Trouble("the supervisor did not start", "See its log.", str(log))


def belong_to_this_process(place: Place) -> None:
    """Tie all processes of a place to this one: they end with it, even if it is killed."""
    write_json(place.owner, {"pid": os.getpid(), "started": process_id.started(os.getpid())})


def stop(place: Place, show: Callable[[str], None]) -> bool:
    """Stop everything in order; return whether anything ran. `show` receives the names of running processes."""
    pid = supervisor(place)
    if pid is None:
        return _stop_orphans(place) > 0
    if pid:
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while supervisor(place) is not None:
        running = [found["name"] for found in processes(place) if found["pid"]]
        show(", ".join(running))
        if time.monotonic() > deadline:
            raise Trouble(
                f"these do not stop: {', '.join(running)}", "Run ./dev status for their ids."
            )
        time.sleep(0.1)
    return True


def running(place: Place, others: Collection[str] = ()) -> list[str]:
    """Return the names of the running processes of a place, except for `others`."""
    return [
        found["name"] for found in processes(place) if found["pid"] and found["name"] not in others
    ]


def wait_for_silence(place: Place, others: Collection[str], show: Callable[[str], None]) -> None:
    """Wait until only `others` run. Raises Trouble if a process does not stop."""
    deadline = time.monotonic() + STOP_SECONDS
    while left := running(place, others):
        show(", ".join(left))
        if time.monotonic() > deadline:
            raise Trouble(f"these do not stop: {', '.join(left)}", "Nothing was changed.")
        time.sleep(PAUSE_SECONDS)
    show("all stopped")


def _stop_orphans(place: Place) -> int:
    """Stop the processes of a killed supervisor; return their number.

    A process is the recorded one only if its start time is equal, because process ids are reused.
    """
    left = [
        found
        for found in read_json(place.running).get("processes", [])
        if found["pid"] and process_id.started(found["pid"]) == found["started"]
    ]
    for found in reversed(left):
        # PostgreSQL ends its sessions at SIGINT and would wait for them at SIGTERM.
        number = signal.SIGINT if found["name"] == "postgres" else signal.SIGTERM
        with contextlib.suppress(ProcessLookupError):
            os.kill(found["pid"], number)
    for found in left:
        if not eventually(partial(process_id.is_gone, found["pid"]), ORPHAN_SECONDS):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(found["pid"], signal.SIGKILL)
    place.running.unlink(missing_ok=True)
    return len(left)
