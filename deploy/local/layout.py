"""Paths: the repository, and the folder with the state of one running system."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local import unprivileged

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PRIVATE_FOLDER = 0o700
#: Umask of private files: readable by their owner only.
PRIVATE_UMASK = 0o077
#: Umask of programs and packages: every user may run them, also the user of PostgreSQL.
SHARED_UMASK = 0o022


def venv_python() -> str:
    """Return the interpreter that runs the services."""
    return str(VENV / "bin" / "python")


def venv_command(name: str) -> str:
    """Return the path of a command of the virtual environment."""
    return str(VENV / "bin" / name)


def site_packages() -> Path:
    """Return the folder of the packages of the virtual environment."""
    found = sorted((VENV / "lib").glob("python3*/site-packages"))
    return found[-1] if found else VENV / "lib" / "site-packages"


@dataclass(frozen=True)
class Place:
    """State folder of one running system: `.run` for a developer, a temporary folder for a test."""

    state: Path

    @property
    def logs(self) -> Path:
        """One file per process."""
        return self.state / "logs"

    @property
    def secrets(self) -> Path:
        """One private file per secret."""
        return self.state / "secrets"

    @property
    def kafka(self) -> Path:
        """Kafka's data, settings and jars."""
        return self.state / "kafka"

    @property
    def ports(self) -> Path:
        """The ports that were free at the first start."""
        return self.state / "ports.json"

    @property
    def wanted(self) -> Path:
        """File of the processes that the supervisor should run."""
        return self.state / "wanted.json"

    @property
    def running(self) -> Path:
        """File of the processes that the supervisor runs."""
        return self.state / "processes.json"

    @property
    def lock(self) -> Path:
        """Lock file of the running supervisor."""
        return self.state / "supervisor.lock"

    @property
    def owner(self) -> Path:
        """File of the process with which the system ends; absent for a developer's system."""
        return self.state / "owner.json"

    def create(self) -> None:
        """Create the folders, private to their owner; remove wider permissions of older versions.

        If PostgreSQL and Valkey run as another user, that user may traverse the state folder but not list it.
        """
        self.state.mkdir(parents=True, exist_ok=True)
        self.state.chmod(0o711 if unprivileged.is_root() else PRIVATE_FOLDER)
        for folder in (self.logs, self.secrets, self.kafka):
            folder.mkdir(exist_ok=True)
            folder.chmod(PRIVATE_FOLDER)


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object of a file; a missing or incomplete file gives an empty object."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_private(path: Path, text: str) -> None:
    """Replace a file atomically; only its owner can read it."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        fresh.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: object) -> None:
    """Replace a file atomically by a JSON object; only its owner can read it."""
    write_private(path, json.dumps(value, indent=1) + "\n")
