"""Process ids: the start time is stored with an id, because ids are reused."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

PROC = Path("/proc")


def alive(pid: int) -> bool:
    """Return whether a process with this id runs; a zombie does not."""
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
    """Return whether the process with this id has ended."""
    return not alive(pid)


def started(pid: int) -> str:
    """Return the start time of a process as text of the operating system; empty if there is none."""
    if (PROC / "self").exists():
        fields = _stat(pid)
        # The 22nd field of the file: ticks since the boot of the machine.
        return fields[19] if fields else ""
    return _ps(pid, "lstart=")


def resident_bytes(pid: int) -> int | None:
    """Return the resident memory of a process in bytes, None if there is none."""
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
    # The second field is the program's name in brackets, with arbitrary characters.
    return text[text.rindex(")") + 2 :].split()


def _ps(pid: int, column: str) -> str:
    done = subprocess.run(
        ["ps", "-o", column, "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()
