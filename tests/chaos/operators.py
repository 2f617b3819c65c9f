"""Resources of a process, read from its operators' port and from the machine."""

from __future__ import annotations

import re
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.local import process_id
from deploy.local.ports import HOST

if TYPE_CHECKING:
    from tests.chaos.system import ChaosStack

_SAMPLE = re.compile(r"^(\w+)(\{[^}]*\})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Held:
    """Resources of one process at one moment."""

    pid: int
    tasks: int
    descriptors: int
    #: Connections of its pools that are lent and not returned.
    lent: int
    resident: int


def samples(port: int) -> dict[str, float]:
    """Return every sample of a process's metrics, summed over its labels. Raises OSError."""
    with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    found: dict[str, float] = {}
    for name, labels, value in _SAMPLE.findall(text):
        found[name] = found.get(name, 0.0) + float(value)
        if labels:
            found[name + labels] = float(value)
    return found


def held(stack: ChaosStack, process: str) -> Held:
    """Return the resources of a process. Raises OSError while it does not respond."""
    found = samples(stack.system.ports[f"{process.replace('-', '_')}_ops"])
    pid = stack.pids(process)[process]
    return Held(
        pid=pid,
        tasks=int(found["process_event_loop_tasks"]),
        descriptors=int(found["process_open_fds"]),
        lent=int(found.get("postgres_pool_lent_connections", 0)),
        resident=process_id.resident_bytes(pid) or 0,
    )
