"""Failpoints: named places where a test kills, stops, fails or delays a process.

`FAILPOINTS_DIR` names a folder. A file named after a failpoint contains its action: `kill`, `stop`,
`raise`, or `sleep SECONDS`. The first process that passes the failpoint renames the file to
`POINT.fired.PID`, so each file fires once. Without the variable, as in production, `fp` does nothing.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from service_runtime.logs import get

VARIABLE: Final = "FAILPOINTS_DIR"


class FailpointError(Exception):
    """Exception of a failpoint with the action `raise`."""


def _nothing(_point: str) -> None:
    """Do nothing: failpoints are off."""


def _in(folder: Path) -> Callable[[str], None]:
    """Return a `fp` that executes the files of a folder."""

    def passed(point: str) -> None:
        armed = folder / point
        fired = folder / f"{point}.fired.{os.getpid()}"
        try:
            armed.rename(fired)
        except OSError:  # not armed, or another process was first
            return
        action, _, rest = fired.read_text().strip().partition(" ")
        get().warning("failpoint_fired", point=point, action=action)
        _act(action, rest, point)

    return passed


def _act(action: str, rest: str, point: str) -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif action == "sleep":
        time.sleep(float(rest))
    else:
        raise FailpointError(point)


def choose(folder: str | None) -> Callable[[str], None]:
    """Return the `fp` of a process whose `FAILPOINTS_DIR` is `folder`."""
    return _in(Path(folder)) if folder else _nothing


#: `fp("relay.before_mark")` marks the failpoint of that name.
fp: Final = choose(os.environ.get(VARIABLE))  # noqa: TID251 - of no service's settings: it is there before them
