"""How a command speaks with the supervisor: through its lock, its two files and signals."""

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
# Four stages, each with its grace.
STOP_SECONDS = 150.0
ORPHAN_SECONDS = 30.0


def supervisor(place: Place) -> int | None:
    """Return the id of the supervisor that lives, None when there is none."""
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
    """Return what the supervisor wrote down of each process; empty when there is no supervisor."""
    if supervisor(place) is None:
        return []
    found = read_json(place.running).get("processes", [])
    return list(found)


def want(place: Place, specs: Sequence[Spec]) -> None:
    """Have exactly these processes run; starts the supervisor if there is none. Raises Trouble when it does not come up."""
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
    """Have whatever is started in a place end with this process, even if that is killed."""
    write_json(place.owner, {"pid": os.getpid(), "started": process_id.started(os.getpid())})


def stop(place: Place, show: Callable[[str], None]) -> bool:
    """Stop everything in order; tell whether anything ran. `show` is told who is still there."""
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
    """Return which processes of a place live, without the others named."""
    return [
        found["name"] for found in processes(place) if found["pid"] and found["name"] not in others
    ]


def wait_for_silence(place: Place, others: Collection[str], show: Callable[[str], None]) -> None:
    """Wait until nothing runs but these. Raises Trouble when something does not stop."""
    deadline = time.monotonic() + STOP_SECONDS
    while left := running(place, others):
        show(", ".join(left))
        if time.monotonic() > deadline:
            raise Trouble(f"these do not stop: {', '.join(left)}", "Nothing was changed.")
        time.sleep(PAUSE_SECONDS)
    show("all stopped")


def _stop_orphans(place: Place) -> int:
    """Stop what a supervisor left behind that was killed; return how many there were.

    A process is the one written down only if its start is the same: ids are used again.
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
