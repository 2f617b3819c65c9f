"""Root gives up its rights for PostgreSQL and Valkey: they run as `nobody`, in folders that `nobody` can reach."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
from pathlib import Path

USER = "nobody"
ELSEWHERE = Path("/var/tmp")  # noqa: S108 - the folder made in it belongs to root and carries its own rights


def is_root() -> bool:
    """Tell whether this runs with all rights."""
    return os.geteuid() == 0


def user() -> str | None:
    """Return the user that servers run as, None for the one who started this."""
    return USER if is_root() else None


def group() -> int | None:
    """Return the group that servers run as, None for that of the one who started this."""
    return pwd.getpwnam(USER).pw_gid if is_root() else None


def own(path: Path) -> None:
    """Give a file or folder to the user the servers run as; only root can and need."""
    if is_root():
        entry = pwd.getpwnam(USER)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def reachable(path: Path) -> bool:
    """Tell whether everybody may pass through all folders above `path`."""
    above = path.resolve().parents
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in above if folder.exists())


def folder_for(state: Path, name: str) -> Path:
    """Return the folder for a server's data: in the state folder, or outside where root's own is closed to others.

    Deterministic, so that every command finds the same folder again.
    """
    if not is_root() or reachable(state / name):
        return state / name
    return elsewhere(state) / name


def elsewhere(state: Path) -> Path:
    """Return the folder outside that stands for a state folder which only root can reach."""
    digest = hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:12]
    return ELSEWHERE / f"repair-portal-{digest}"


def give(folder: Path) -> None:
    """Make a folder that belongs to the user the servers run as, closed to everybody else."""
    _passable(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    own(folder)


def _passable(folder: Path) -> None:
    """Make a folder, whatever the umask, through which others may pass without looking."""
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)


def programs(package: Path, state: Path) -> Path:
    """Return an installed package of programs that the servers' user can execute: itself, or a copy within reach."""
    if not is_root() or reachable(package / "any"):
        return package
    # A new version of the package is another copy.
    copies = elsewhere(state) / f"programs-{package.stat().st_mtime_ns}"
    if not copies.exists():
        _passable(elsewhere(state))
        fresh = copies.with_name(f"{copies.name}.{os.getpid()}")
        # Its libraries stand beside it, where its programs look for them.
        for part in (package, package.with_name(f"{package.name}.libs")):
            if part.exists():
                shutil.copytree(part, fresh / part.name, symlinks=True)
        fresh.rename(copies)
    return copies / package.name


def remove(state: Path) -> None:
    """Remove what stands outside the state folder."""
    shutil.rmtree(elsewhere(state), ignore_errors=True)
