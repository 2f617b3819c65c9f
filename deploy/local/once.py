"""One-time commands of the services: migrations, topic, keys, logins. Each is idempotent."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from deploy.local.layout import ROOT
from deploy.local.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploy.local.layout import Place

TIMEOUT_SECONDS = 300
AT_ONCE = 3


def run(name: str, argv: list[str], env: Mapping[str, str], place: Place) -> str:
    """Run one command with its output in `setup.log`; return the last line. Raises Trouble with that line."""
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
    said = ((done.returncode and done.stderr) or done.stdout).strip().splitlines()
    if done.returncode != 0:
        raise Trouble(
            f"{name}: {said[-1] if said else f'ended with {done.returncode}'}",
            "See the log.",
            str(log),
        )
    return said[-1] if said else ""


def run_all(
    commands: Mapping[str, tuple[list[str], dict[str, str]]], place: Place
) -> dict[str, str]:
    """Run commands in parallel; return the last line of each. Raises the first Trouble after all have ended."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = {
            name: pool.submit(run, name, argv, env, place) for name, (argv, env) in commands.items()
        }
    return {name: one.result() for name, one in running.items()}
