"""Unprivileged servers: root runs PostgreSQL and Valkey as `nobody`, in folders that `nobody` can reach."""

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
    """Return whether this process runs as root."""
    return os.geteuid() == 0


def user() -> str | None:
    """Return the user of the servers, None for the current user."""
    return USER if is_root() else None


def group() -> int | None:
    """Return the group of the servers, None for that of the current user."""
    return pwd.getpwnam(USER).pw_gid if is_root() else None


def own(path: Path) -> None:
    """Change the owner of a file or folder to the user of the servers; does nothing unless run as root."""
    if is_root():
        entry = pwd.getpwnam(USER)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def reachable(path: Path) -> bool:
    """Return whether every user may traverse all folders above `path`."""
    above = path.resolve().parents
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in above if folder.exists())


def folder_for(state: Path, name: str) -> Path:
    """Return the folder for a server's data: in the state folder, or outside if other users cannot reach root's.

    It is deterministic, so that every command finds the same folder.
    """
    if not is_root() or reachable(state / name):
        return state / name
    return elsewhere(state) / name


def elsewhere(state: Path) -> Path:
    """Return the outside folder for a state folder that only root can reach."""
    digest = hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:12]
    return ELSEWHERE / f"repair-portal-{digest}"


def give(folder: Path) -> None:
    """Create a private folder of the user of the servers."""
    _passable(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    own(folder)


def _passable(folder: Path) -> None:
    """Create a folder that other users may traverse but not list, independent of the umask."""
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)


def programs(package: Path, state: Path) -> Path:
    """Return a package of programs that the servers' user can execute: the installed one, or a reachable copy."""
    if not is_root() or reachable(package / "any"):
        return package
    # Each version of the package has its own copy.
    copies = elsewhere(state) / f"programs-{package.stat().st_mtime_ns}"
    if not copies.exists():
        _passable(elsewhere(state))
        fresh = copies.with_name(f"{copies.name}.{os.getpid()}")
        # The programs load their libraries from the folder beside it.
        for part in (package, package.with_name(f"{package.name}.libs")):
            if part.exists():
                shutil.copytree(part, fresh / part.name, symlinks=True)
        fresh.rename(copies)
    return copies / package.name


def remove(state: Path) -> None:
    """Remove the files outside the state folder."""
    shutil.rmtree(elsewhere(state), ignore_errors=True)
