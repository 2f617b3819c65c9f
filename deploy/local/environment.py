"""Virtual environment: exactly the packages of `requirements.lock`, and the project's own in editable form."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from deploy.local import machine
from deploy.local.layout import ROOT, SHARED_UMASK, VENV, read_json, venv_python, write_json
from deploy.local.trouble import Trouble

if TYPE_CHECKING:
    from pathlib import Path

LOCK = ROOT / "requirements.lock"
MEMBERS = ("shared", "services/repair-writer", "services/portal-query", "services/gateway")
STAMP = VENV / "installed.json"


def members() -> list[Path]:
    """Return the folders of the project's own distributions."""
    return [ROOT / member for member in MEMBERS if (ROOT / member / "pyproject.toml").exists()]


def _digest(paths: list[Path]) -> str:
    found = hashlib.sha256()
    for path in paths:
        found.update(str(path).encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def ensure(log: Path) -> str:
    """Update the virtual environment to the lock; return a short description of the changes.

    Raises Trouble with the log if Python has no `venv` or pip cannot install.
    """
    wanted = {
        "python": ".".join(str(part) for part in sys.version_info[:2]),
        "lock": _digest([LOCK]),
        "members": _digest([member / "pyproject.toml" for member in members()]),
    }
    there = read_json(STAMP)
    if there == wanted:
        return "as locked"
    if not _usable(wanted["python"]):
        _create(log)
        there = {}
    done = []
    if there.get("lock") != wanted["lock"]:
        install = ["install", "--require-hashes", "--no-deps", "-r", str(LOCK)]
        _pip(install, log, "requirements.lock could not be installed")
        done.append("installed the lock")
    if there.get("members") != wanted["members"] or done:
        folders = [part for member in members() for part in ("-e", str(member))]
        options = ["install", "--no-deps", "--no-build-isolation", *folders]
        _pip(options, log, "the project's own packages could not be installed")
        done.append("linked our packages")
    write_json(STAMP, wanted)
    return ", ".join(done)


def _usable(version: str) -> bool:
    asked = "import sys; print('.'.join(map(str, sys.version_info[:2])))"
    try:
        done = subprocess.run(
            [venv_python(), "-c", asked], capture_output=True, text=True, timeout=60, check=False
        )
    except OSError:
        return False
    return done.returncode == 0 and done.stdout.strip() == version


def _create(log: Path) -> None:
    shutil.rmtree(VENV, ignore_errors=True)
    command = [sys.executable, "-m", "venv", str(VENV)]
    done = _run(command, log)
    if done != 0 and machine.can_apt():
        # Debian has `venv` in a separate package.
        machine.apt_install("python3-venv", log)
        shutil.rmtree(VENV, ignore_errors=True)
        done = _run(command, log)
    if done != 0:
        raise Trouble(
            "this Python cannot make a virtual environment",
            "Debian, Ubuntu: apt-get install python3-venv, then run the command again.",
            str(log),
        )


def _pip(options: list[str], log: Path, failure: str) -> None:
    quiet = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    if _run([venv_python(), "-m", "pip", *options, *quiet], log) != 0:
        raise Trouble(
            failure,
            "See what pip says in the log; is a package index within reach (pip config list)?",
            str(log),
        )


def _run(command: list[str], log: Path) -> int:
    # pip must see only the packages of the virtual environment.
    settings = {**os.environ, "PYTHONNOUSERSITE": "1"}
    settings.pop("PYTHONPATH", None)
    with log.open("a") as output:
        return subprocess.run(
            command,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env=settings,
            umask=SHARED_UMASK,
            check=False,
        ).returncode
