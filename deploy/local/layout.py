"""Where everything is: the repository, and the folder that holds the state of one running system."""

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
#: What is made under it is readable by its owner alone.
PRIVATE_UMASK = 0o077
#: Programs and packages: everybody may run them, PostgreSQL's user too.
SHARED_UMASK = 0o022


def venv_python() -> str:
    """Return the interpreter that runs the services."""
    return str(VENV / "bin" / "python")


def venv_command(name: str) -> str:
    """Return the path of a command that the virtual environment holds."""
    return str(VENV / "bin" / name)


def site_packages() -> Path:
    """Return the folder in which the virtual environment keeps its packages."""
    found = sorted((VENV / "lib").glob("python3*/site-packages"))
    return found[-1] if found else VENV / "lib" / "site-packages"


@dataclass(frozen=True)
class Place:
    """The state of one running system: `.run` for a developer, a temporary folder for a test."""

    state: Path

    @property
    def logs(self) -> Path:
        """One file per process."""
        return self.state / "logs"

    @property
    def secrets(self) -> Path:
        """One file per secret, readable by its owner alone."""
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
        """What the supervisor shall run."""
        return self.state / "wanted.json"

    @property
    def running(self) -> Path:
        """What the supervisor does run."""
        return self.state / "processes.json"

    @property
    def lock(self) -> Path:
        """Held by the supervisor for as long as it lives."""
        return self.state / "supervisor.lock"

    @property
    def owner(self) -> Path:
        """The process that the system ends with; there is none for a developer's."""
        return self.state / "owner.json"

    def create(self) -> None:
        """Make the folders, for their owner alone; what older versions made for others too is closed.

        Where PostgreSQL and Valkey run as another user, that one may pass through the state folder, and not look.
        """
        self.state.mkdir(parents=True, exist_ok=True)
        self.state.chmod(0o711 if unprivileged.is_root() else PRIVATE_FOLDER)
        for folder in (self.logs, self.secrets, self.kafka):
            folder.mkdir(exist_ok=True)
            folder.chmod(PRIVATE_FOLDER)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a file; an absent or torn file is an empty object."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step, readable by its owner alone."""
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
    """Replace a file by a JSON object in one step, readable by its owner alone."""
    write_private(path, json.dumps(value, indent=1) + "\n")
