"""`./dev check`: format, lint, prose, import contracts, unused code, types, coverage of the pure modules, spelling.

Type checks run beside all others: each of the two lanes occupies one core. The runs of mypy share a cache, so they run
one after the other.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from deploy.local import say
from deploy.local.layout import ROOT, venv_command, venv_python

# The modules of folds and decisions: a test covers every branch.
PURE = (
    "repair_events",
    "repair_writer.repair",
    "portal_query.counting",
    "portal_query.document",
    "gateway.routes",
)
QUICK_TESTS = (
    "shared/tests/unit",
    "services/repair-writer/tests/unit",
    "services/portal-query/tests/unit",
    "services/gateway/tests/unit",
    "tests/contract",
)
# One run for each member: test files of two members may have the same name.
TYPED = {
    "shared": ("shared/src", "shared/tests"),
    "repair-writer": ("services/repair-writer/src", "services/repair-writer/tests"),
    "portal-query": ("services/portal-query/src", "services/portal-query/tests"),
    "gateway": ("services/gateway/src", "services/gateway/tests"),
    "tools": ("conftest.py", "deploy", "bench", "tests"),
}


@dataclass(frozen=True)
class Check:
    """Command that must exit with 0."""

    name: str
    argv: list[str]


def lanes(members: Collection[str] = tuple(TYPED)) -> tuple[list[Check], list[Check]]:
    """Return the checks in two lanes that can run in parallel; type checks of these members only."""
    quick = [
        Check("format", [venv_command("ruff"), "format", "--check", "."]),
        Check("lint", [venv_command("ruff"), "check", "."]),
        Check("spelling", [venv_command("codespell"), *_tracked_text()]),
        Check("prose", [venv_python(), "-m", "deploy.local.prose"]),
        Check("commit subjects", [venv_python(), "-m", "deploy.local.commit_subjects"]),
        Check("imports", [venv_command("lint-imports")]),
        Check("unused code", [venv_command("vulture")]),
        *_coverage(),
    ]
    typed = {name: _existing(paths) for name, paths in TYPED.items() if name in members}
    return [check for name, paths in typed.items() for check in _types(name, paths)], quick


def run(members: Collection[str] = tuple(TYPED)) -> list[str]:
    """Run the checks and print each with its output; return the names of the failed ones."""
    both = lanes(members)
    with ThreadPoolExecutor(len(both)) as pool:
        return [name for failed in pool.map(_run_lane, both) for name in failed]


def _run_lane(checks: list[Check]) -> list[str]:
    failed = []
    for check in checks:
        began = time.monotonic()
        done = subprocess.run(
            check.argv,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        mark = say.paint("ok", say.GREEN) if done.returncode == 0 else say.paint("failed", say.RED)
        text = f"{check.name:<24} {time.monotonic() - began:6.1f} s  {mark}"
        if done.returncode != 0:
            failed.append(check.name)
            text = f"{text}\n{done.stdout}{done.stderr}".rstrip()
        say.line(text)  # one call: the other lane prints as well
    return failed


def _existing(paths: tuple[str, ...]) -> list[str]:
    """Return the paths that contain a file: an empty ring of tests is no error."""
    return [path for path in paths if (ROOT / path).is_file() or any((ROOT / path).rglob("*.*"))]


def _types(name: str, paths: list[str]) -> list[Check]:
    """Return a member's type checks: files of the same name need separate runs, as tests are no packages."""
    runs: list[list[str]] = []
    for path in paths:
        for file in [path] if name == "tools" or path.endswith("/src") else _tests(path):
            # The first run without another file of this name.
            run = next((run for run in runs if _name(file) not in map(_name, run)), None)
            if run is None:
                runs.append([file])
            else:
                run.append(file)
    titles = [f"types of {name}", *(f"types of {name}, {n}" for n in range(2, len(runs) + 1))]
    return [
        Check(title, [venv_command("mypy"), *run]) for title, run in zip(titles, runs, strict=True)
    ]


def _tests(folder: str) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in sorted((ROOT / folder).rglob("*.py"))]


def _name(file: str) -> str:
    return Path(file).name


def _tracked_text() -> list[str]:
    wanted = (
        "README.md",
        "CHANGELOG.md",
        "docs",
        "deploy",
        "shared",
        "services",
        "tests",
        "bench",
        "conftest.py",
    )
    return _existing(wanted)


def _coverage() -> list[Check]:
    tests = _existing(QUICK_TESTS)
    data = "--data-file=.coverage"
    modules = ",".join(PURE)
    pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    return [
        Check(
            "unit, contract tests",
            [
                venv_python(),
                "-m",
                "coverage",
                "run",
                data,
                "--branch",
                f"--source={modules}",
                *pytest,
            ],
        ),
        Check(
            "coverage",
            [venv_command("coverage"), "report", data, "--show-missing", "--fail-under=100"],
        ),
    ]
