"""Places where a test may have a process die, stop, fail or hang; nothing at all in production.

`FAILPOINTS_DIR` names a folder. A file in it that is called like a point holds what happens there:
`kill`, `stop`, `raise`, or `sleep SECONDS`. It is taken by the first process that comes by (it is
renamed to `POINT.fired.PID`), so each file works once. Without the variable `fp` does nothing.
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
    """A point was told to raise."""


def _nothing(_point: str) -> None:
    """Do nothing: no failpoints are wanted."""


def _in(folder: Path) -> Callable[[str], None]:
    """Return a `fp` that obeys the files of a folder."""

    def passed(point: str) -> None:
        armed = folder / point
        fired = folder / f"{point}.fired.{os.getpid()}"
        try:
            armed.rename(fired)
        except OSError:  # not armed, or another process was quicker
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


#: `fp("relay.before_mark")`: the named point is passed.
fp: Final = choose(os.environ.get(VARIABLE))  # noqa: TID251 - of no service's settings: it is there before them
