"""Steps that need no second time: each is remembered with a fingerprint of what it was done for."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from deploy.local.layout import ROOT, Place, read_json, write_json
from deploy.local.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TIMEOUT_SECONDS = 300
AT_ONCE = 3


class Once:
    """What has been done in one place."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._lock = threading.Lock()

    def is_done(self, name: str, fingerprint: str) -> bool:
        """Tell whether a step was done for exactly this."""
        return bool(read_json(self.place.done).get(name) == fingerprint)

    def mark(self, name: str, fingerprint: str) -> None:
        """Remember that a step was done for this."""
        with self._lock:
            write_json(self.place.done, {**read_json(self.place.done), name: fingerprint})


def fingerprint(*parts: object, folders: Iterable[str] = ()) -> str:
    """Return a digest of some values and of the Python files in some folders of the repository."""
    found = hashlib.sha256(repr(parts).encode())
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            found.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def run(name: str, argv: list[str], env: Mapping[str, str], place: Place) -> None:
    """Run one command to its end, its output into `setup.log`. Raises Trouble with its last words."""
    try:
        done = subprocess.run(
            argv,
            cwd=ROOT,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as problem:
        raise Trouble(
            f"{name}: not done after {TIMEOUT_SECONDS} s", "Run ./dev up again."
        ) from problem
    except OSError as problem:
        raise Trouble(f"{name}: {problem}", "Delete .venv and run the command again.") from problem
    log = place.logs / "setup.log"
    with log.open("a") as output:
        output.write(f"== {name}\n{done.stdout}{done.stderr}")
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Trouble(
            f"{name}: {said[-1] if said else f'ended with {done.returncode}'}",
            "See the log.",
            str(log),
        )


def run_all(commands: Mapping[str, tuple[list[str], dict[str, str]]], place: Place) -> None:
    """Run commands beside each other. Raises the first Trouble after all have ended."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = [
            pool.submit(run, name, argv, env, place) for name, (argv, env) in commands.items()
        ]
    for one in running:
        one.result()
