"""Commands of `./dev`: one function each, which returns the exit status."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.local import (
    backup,
    banner,
    checks,
    control,
    copies,
    doctor,
    environment,
    kafka,
    machine,
    probe,
    restart,
    restore,
    rings,
    say,
    start,
    stores,
    test_tools,
    unprivileged,
)
from deploy.local.claim import claim
from deploy.local.layout import ROOT, Place, venv_command, venv_python
from deploy.local.system import System
from deploy.local.trouble import Trouble

if TYPE_CHECKING:
    import argparse

#: Service -> the process whose settings its command line gets.
SETTINGS_OF = {"repair-writer": "relay", "portal-query": "projector-1", "gateway": "gateway"}

NOT_STARTED: dict[str, Any] = {"ready": False, "processes": [], "logins": []}

# DEV_STATE allows a second system beside the first; its ports are the next free ones.
PLACE = Place(Path(os.environ.get("DEV_STATE") or ROOT / ".run").resolve())


def up(arguments: argparse.Namespace) -> int:
    """Start every process that is down; return when all are ready."""
    began = time.monotonic()
    running = _if_up()
    if running is not None:
        banner.show(running, running.status(), None)
        return 0
    steps = say.Steps(start.STEPS if arguments.demo else start.STEPS - 1)
    PLACE.create()
    with claim(PLACE):
        start.packages(PLACE, steps)
        with steps.step("ports and secrets") as step:
            system = System.prepare(PLACE, os.environ)
            step.note(_moved_ports(system))
        start.start(system, steps, demo=arguments.demo)
    banner.show(system, system.status(), time.monotonic() - began)
    return 0


def _if_up() -> System | None:
    if control.supervisor(PLACE) is None or not PLACE.ports.exists():
        return None
    system = System.found(PLACE)
    ready = not stores.lost(system) and system.is_ready(control.processes(PLACE))
    return system if ready else None


def _moved_ports(system: System) -> str:
    from deploy.local import ports  # noqa: PLC0415 - a word that is used only here

    moved = [f"{name} {port}" for name, port in system.ports.items() if ports.USUAL[name] != port]
    return f"usual ones taken, so: {', '.join(moved)}" if moved else "the usual ports"


def down(_: argparse.Namespace) -> int:
    """Stop everything in order; the data is kept."""
    steps = say.Steps(1)
    with steps.step("stopping") as step:
        stopped = control.stop(PLACE, step.note)
        step.note("all stopped; the data stays" if stopped else "nothing was running")
    return 0


def status(arguments: argparse.Namespace) -> int:
    """Print the state of every process; return 0 if all are ready."""
    found = _started().status() if PLACE.ports.exists() or not arguments.json else NOT_STARTED
    if arguments.json:
        print(json.dumps(found, indent=1))
        return 0 if found["ready"] else 1
    mark = say.paint("ready", say.GREEN) if found["ready"] else say.paint("not ready", say.RED)
    say.line(f"{mark}   portal {found['urls']['portal']}   writer {found['urls']['writer']}")
    say.line(f"{'process':<18} {'pid':>8} {'state':<11} {'restarts':>8} {'MiB':>7}  log")
    for process in found["processes"]:
        size = process["rss_bytes"]
        mib = f"{size / 2**20:7.1f}" if size else f"{'-':>7}"
        words = f"{process['name']:<18} {process['pid'] or '-':>8} {process['state']:<11} {process['restarts']:>8}"
        say.line(f"{words} {mib}  {os.path.relpath(process['log'], ROOT)}")
    if not found["processes"]:
        say.line("Nothing runs. Start it with ./dev up.")
    return 0 if found["ready"] else 1


def _started() -> System:
    if not PLACE.ports.exists():
        raise Trouble("nothing has been started here yet", "Start it with ./dev up.")
    return System.found(PLACE)


def env(_: argparse.Namespace) -> int:
    """Print addresses and the internal key as shell variables."""
    system = _started()
    for name, value in (
        ("PORTAL", system.at.portal),
        ("WRITER", system.at.writer),
        ("QUERY", system.at.query),
        ("KEY", system.secrets["internal_key"]),
    ):
        print(f"export {name}={shlex.quote(value)}")
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Run a service's own command line with the settings of its process."""
    system = _started()
    name = SETTINGS_OF[arguments.service]
    settings = next(spec.env for spec in system.services() if spec.name == name)
    command = [venv_command(arguments.service), *arguments.words]
    return subprocess.run(command, env={**os.environ, **settings}, check=False).returncode


def logs(arguments: argparse.Namespace) -> int:
    """Print the last lines of one log or of all; with -f follow them."""
    known = sorted(path.stem for path in PLACE.logs.glob("*.log"))
    if not known:
        raise Trouble("there are no logs yet", "Start the system with ./dev up.")
    if arguments.name and arguments.name not in known:
        raise Trouble(f"there is no log called {arguments.name}", f"There are: {', '.join(known)}.")
    files = [
        str(PLACE.logs / f"{name}.log") for name in ([arguments.name] if arguments.name else known)
    ]
    follow = ["-F"] if arguments.follow else []
    return subprocess.run(
        ["tail", "-n", str(arguments.lines), *follow, *files], check=False
    ).returncode


def restart_process(arguments: argparse.Namespace) -> int:
    """Restart one own process without failed requests, for example after a change of its code."""
    system, began = _started(), time.monotonic()
    with claim(PLACE):
        restart.restart(system, arguments.name)
    say.line(f"{arguments.name} is ready again, after {time.monotonic() - began:.1f} s.")
    return 0


def back_up(arguments: argparse.Namespace) -> int:
    """Write a backup of the primary data into a new folder, while the system runs."""
    system, folder = _started(), Path(arguments.folder).resolve()
    if not probe.postgres(system.ports["postgres"]) and system.at.local_postgres:
        raise Trouble("PostgreSQL is not up", "Start it with ./dev up.")
    with claim(PLACE):
        manifest = backup.back_up(system, folder, say.Steps(backup.STEPS))
    say.line(f"{folder} holds {manifest.summary()}.")
    return 0


def restore_backup(arguments: argparse.Namespace) -> int:
    """Restore a backup, start everything, and return when all counts equal those of the restored streams."""
    _started()
    folder = Path(arguments.folder).resolve()
    _packages()
    with claim(PLACE):
        system = System.prepare(PLACE, os.environ)
        manifest = restore.checked(system, folder)
        say.line(f"{folder} holds {manifest.summary()}.")
        if manifest.time_zone != system.at.time_zone:
            say.line(f"Months were those of {manifest.time_zone}, here {system.at.time_zone}.")
        what = "replaces all repairs, customers, API keys and users by those of the backup"
        if not arguments.yes and not _confirmed(what, "restore DIR"):
            say.line("Nothing was changed.")
            return 1
        restore.restore(system, folder, manifest, say.Steps(restore.STEPS))
    say.line("Restored. All users must sign in again.")
    return 0


def _confirmed(what: str, command: str) -> bool:
    """Prompt a person to confirm an irreversible action. Raises Trouble without a terminal."""
    if not sys.stdin.isatty():
        raise Trouble(
            f"this {what}, and needs a terminal to confirm", f"Run ./dev {command} --yes."
        )
    print(f"This {what}. Type yes: ", end="", flush=True)
    return sys.stdin.readline().strip() == "yes"


def reset(arguments: argparse.Namespace) -> int:
    """Stop everything and delete all data, or recreate all derived data."""
    if arguments.copies:
        return _make_copies_again(yes=arguments.yes)
    what = "stops everything and deletes all local data (repairs, users, counts)"
    if not arguments.yes and not _confirmed(what, "reset"):
        say.line("Nothing was deleted.")
        return 1
    control.stop(PLACE, lambda _: None)
    kafka.remove_container_data(PLACE)
    kafka.remove_all_but_jars(PLACE)
    unprivileged.remove(PLACE.state)
    say.line("All local data is deleted. ./dev up starts without data.")
    return 0


def _make_copies_again(*, yes: bool) -> int:
    _started()
    what = "stops everything, deletes read model, Kafka's data and Valkey's, and rebuilds them"
    if not yes and not _confirmed(what, "reset --copies"):
        say.line("Nothing was deleted.")
        return 1
    _packages()
    began = time.monotonic()
    with claim(PLACE):
        system = System.prepare(PLACE, os.environ)
        copies.check_local(system)
        copies.make_again(system, say.Steps(copies.STEPS))
    say.line(f"Rebuilt from the writer's lists in {time.monotonic() - began:.0f} s.")
    say.line("./dev run portal-query verify compares every row.")
    return 0


def examine(_: argparse.Namespace) -> int:
    """Print what this machine has and lacks."""
    return doctor.show(doctor.examine(PLACE))


def check(arguments: argparse.Namespace) -> int:
    """Run every check that needs no server, or print the measures of the source tree."""
    _packages()
    if arguments.measures:
        measure = [venv_python(), "-m", "deploy.local.measures"]
        return subprocess.run(measure, cwd=ROOT, check=False).returncode
    failed = checks.run()
    say.line(f"failed: {', '.join(failed)}" if failed else "All clean.")
    return 1 if failed else 0


def test(arguments: argparse.Namespace) -> int:
    """Run check and all tests."""
    _packages()
    test_tools.ensure(PLACE.logs)
    if arguments.fast:
        return rings.run_fast()
    return rings.run(long=arguments.long, extra=arguments.pytest)


def bench(arguments: argparse.Namespace) -> int:
    """Measure speed and memory against floors; takes minutes."""
    _packages()
    return subprocess.run(
        [venv_python(), "-m", "bench", *arguments.bench], cwd=ROOT, check=False
    ).returncode


def chaos(arguments: argparse.Namespace) -> int:
    """Inject faults into a separate system and check every number; takes minutes."""
    _packages()
    return subprocess.run(
        [venv_python(), "-m", "tests.chaos", *arguments.chaos], cwd=ROOT, check=False
    ).returncode


def demo(arguments: argparse.Namespace) -> int:
    """Run the demo: `live` sends repairs until Ctrl-C, `load` sends three years of them."""
    system = _started()
    if not system.is_ready(control.processes(PLACE)):
        raise Trouble("the system is not up", "Start it with ./dev up.")
    command = [*start.demo_command(system, f"deploy.demo.{arguments.what}"), *arguments.options]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def lock(_: argparse.Namespace) -> int:
    """Write requirements.lock from requirements.in."""
    compiler = shutil.which("uv")
    if compiler is None:
        raise Trouble(
            "uv is needed to write the lock",
            "Install it (pip install uv), then run ./dev lock again.",
        )
    options = [
        "--generate-hashes",
        "--universal",
        "--python-version",
        "3.11",
        "--no-emit-index-url",
        "--upgrade",
    ]
    command = [
        compiler,
        "pip",
        "compile",
        "requirements.in",
        "-o",
        "requirements.lock",
        "--quiet",
        *options,
    ]
    settings = {**os.environ, "UV_CUSTOM_COMPILE_COMMAND": "./dev lock"}
    return subprocess.run(command, cwd=ROOT, env=settings, check=False).returncode


def _packages() -> None:
    """Install the packages that commands need; print steps only if there is something to install."""
    machine.check_python()
    PLACE.create()
    began = time.monotonic()
    done = environment.ensure(PLACE.logs / "pip.log")
    if done != "as locked":
        say.line(f"Python packages: {done} ({time.monotonic() - began:.1f} s)")
