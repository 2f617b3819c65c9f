"""Which process a process id means: ids are used again, so its start is remembered beside it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

PROC = Path("/proc")


def alive(pid: int) -> bool:
    """Tell whether a process with this id runs (one that has ended and waits for its parent does not)."""
    if pid <= 0:
        return False
    if (PROC / "self").exists():
        fields = _stat(pid)
        return bool(fields) and fields[0] not in {"Z", "X"}
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_gone(pid: int) -> bool:
    """Tell whether no process with this id runs."""
    return not alive(pid)


def started(pid: int) -> str:
    """Return when a process was started, in the system's own words; empty if there is none."""
    if (PROC / "self").exists():
        fields = _stat(pid)
        # The 22nd field of the file: ticks since the machine was started.
        return fields[19] if fields else ""
    return _ps(pid, "lstart=")


def resident_bytes(pid: int) -> int | None:
    """Return how much memory a process holds, None if there is none."""
    if (PROC / "self").exists():
        try:
            pages = int((PROC / str(pid) / "statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            return None
        return pages * os.sysconf("SC_PAGE_SIZE")
    kibibytes = _ps(pid, "rss=")
    return int(kibibytes) * 1024 if kibibytes.isdigit() else None


def _stat(pid: int) -> list[str]:
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return []
    # The second field is the program's name in brackets and may hold anything.
    return text[text.rindex(")") + 2 :].split()


def _ps(pid: int, column: str) -> str:
    done = subprocess.run(
        ["ps", "-o", column, "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()
