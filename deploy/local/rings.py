"""`./dev test`: check, then all rings of tests, in parallel lanes: runs of pytest with their own servers.

Tests of services and tools compute, those of systems wait: together they use two cores. Tests that measure the
capacity of a process run last and alone. With `--fast` only check, unit tests, and the integration tests of
changed members; with arguments for pytest one run with these.
"""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from deploy.local import checks, fast, say
from deploy.local.layout import ROOT, venv_python
from deploy.local.ring_times import OTHERS, RINGS

SLOWEST = 10
# Rings that share servers: each lane starts its own once. An unlisted ring runs in the first.
SYSTEMS = ("dev", "system", "security", "browser", "chaos")
SERVICES = tuple(ring for ring in (*RINGS, OTHERS) if ring not in SYSTEMS)


@dataclass(frozen=True)
class Lane:
    """Run of pytest; `name` is printed before its lines."""

    name: str
    arguments: list[str]


def lanes(*, long: bool) -> tuple[list[Lane], Lane]:
    """Return the lanes that run beside each other, the longest first, and the one that runs alone afterwards."""
    chosen = "" if long else " and not long"
    # Two cores: with a third lane, chaos apart, connections were made later than the limits of the services.
    beside = {"systems": SYSTEMS, "services": SERVICES}
    # The check has run these, measuring their coverage.
    done = [f"--ignore={path}" for path in checks.QUICK_TESTS]
    return [
        Lane(name, [f"--rings={','.join(rings)}", *done, *_options(f"not alone{chosen}")])
        for name, rings in beside.items()
    ], Lane("alone", [*done, *_options(f"alone{chosen}")])


def run(*, long: bool, extra: list[str]) -> int:
    """Run the checks and all tests; the closing lines of pytest come last. Return 0 only if all pass."""
    if extra:
        chosen = [] if long else ["-m", "not long"]
        return _run_tests([], [Lane("", [*_report_options(), *chosen, *extra])])
    beside, alone = lanes(long=long)
    return _run_tests(checks.run(), beside, alone)


def run_fast() -> int:
    """Run the checks and the integration tests of the members that differ from main; return as `run`."""
    members = fast.members_of(fast.changed_files())
    failed = checks.run(members)
    chosen = fast.integration_tests(members)
    say.line(f"changed: {', '.join(members) or 'nothing with integration tests'}")
    if not chosen:
        return 1 if failed else 0
    return _run_tests(failed, [Lane("", ["-q", *_options("not long and not chaos"), *chosen])])


def _options(marks: str) -> list[str]:
    return ["-m", marks, *_report_options()]


def _report_options() -> list[str]:
    return [f"--durations={SLOWEST}", "--ring-times"]


def _run_tests(failed: list[str], beside: list[Lane], alone: Lane | None = None) -> int:
    if failed:
        say.line(
            say.paint(f"check failed: {', '.join(failed)}; the tests are run all the same", say.RED)
        )
    with ThreadPoolExecutor(len(beside)) as pool:
        done = list(pool.map(_run_lane, beside))
    if alone:
        done.append(_run_lane(alone))
    if failed:
        say.line(say.paint(f"check failed: {', '.join(failed)} (see above)", say.RED))
    if failed or alone:
        for _, last in done:
            say.line(last)
    return next((code for code, _ in done if code), 1 if failed else 0)


def _run_lane(lane: Lane) -> tuple[int, str]:
    """Print the progress of a run at once, its report in one piece at its end; return exit code and last line."""
    command = [venv_python(), "-m", "pytest", *lane.arguments]
    settings = {**os.environ, "TESTCONTAINERS_RYUK_DISABLED": "true"}
    mark = f"{lane.name:<9}" if lane.name else ""
    report: list[str] = []
    titles, last = 0, ""
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        for line in running.stdout or ():
            text = mark + line.rstrip()
            # The first title opens the session, the second the report: other lanes would print into it.
            titles += line.startswith("==")
            if titles > 1:
                report.append(text)
            else:
                say.line(text)
            last = text if line.strip() else last
    if report:
        say.line("\n".join(report))
    return running.returncode, last
