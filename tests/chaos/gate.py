"""Mutation gate: each patch in `planted/` breaks a guarantee, and its named test must fail.

The head of a patch has four lines: its effect; its motive (`Why:`); its test and the expected
failure.
The test is `Test:`, an id of pytest, or `Scenario:`, a name of the catalogue.
`Shows:` is a regular expression for the first words of the failure.
The gate applies a patch to a copy of the tree and leaves the tree itself unchanged.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local import borrowed, say
from deploy.local.layout import ROOT, VENV
from tests.chaos import catalogue, plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PATCHES = Path(__file__).resolve().parent / "planted"
FOLDER = ROOT / ".run" / "planted"
SOURCES = ("shared", "services/repair-writer", "services/portal-query", "services/gateway")
# Built or installed: outside the tree, but needed to run it.
LENT = (".venv", "node_modules", "services/portal-query/src/portal_query/web/static/portal.js")
SEED = 1
# The gate checks detection, not the speed of this machine.
SLACK = "3"
# A slower run counts as hanging.
LONGEST_SECONDS = 600.0
ROWS = "{:<30} {:<8} {:>4} {}"
WIDTH = 100


@dataclass(frozen=True)
class Bug:
    """One planted bug, as its patch describes it."""

    name: str
    patch: Path
    test: str
    scenario: str
    shows: str

    @property
    def catcher(self) -> str:
        """Return the name of the test or scenario."""
        return self.test.rpartition("::")[2] or f"scenario {self.scenario}"


@dataclass(frozen=True)
class Run:
    """Result of a test: whether it passed, and its failure messages in order."""

    passed: bool
    said: Sequence[str]
    seconds: float


def bugs(wanted: str = "") -> list[Bug]:
    """Read the patches whose names contain `wanted`. Raises ValueError for an incomplete head."""
    return [read(path) for path in sorted(PATCHES.glob("*.patch")) if wanted in path.stem]


def read(path: Path) -> Bug:
    """Read one patch. Raises ValueError for an incomplete head."""
    head = path.read_text().partition("\ndiff --git ")[0]
    said = dict(re.findall(r"^(Why|Test|Scenario|Shows): (.+)$", head, re.MULTILINE))
    if not {"Why", "Shows"} <= said.keys() or ("Test" in said) == ("Scenario" in said):
        raise ValueError(f"{path.name}: its head needs Why, Shows, and either Test or Scenario")
    test, scenario = said.get("Test", ""), said.get("Scenario", "")
    return Bug(path.stem, path, test, scenario, said["Shows"])


def missing(bug: Bug) -> str:
    """Return a message when the test of a bug does not exist, else nothing."""
    if bug.scenario:
        return "" if bug.scenario in catalogue.BY_NAME else f"there is no scenario {bug.scenario}"
    file, _, name = bug.test.partition("::")
    there = ROOT / file
    if there.is_file() and re.search(rf"def {name.rpartition('::')[2]}\b", there.read_text()):
        return ""
    return f"there is no test {bug.test}"


def apply(bug: Bug, tree: Path, *options: str) -> str:
    """Apply a patch to a tree (`--check`: only try, `-R`: revert); return git's error, if any."""
    done = subprocess.run(
        ["git", "apply", *options, str(bug.patch)],
        cwd=tree,
        # The tree may be inside a repository that it is not part of.
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(tree.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr.strip() if done.returncode else ""


def copy() -> Path:
    """Copy the working tree, as it would be committed, to a new folder and return that."""
    tree = FOLDER / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, names.split("\0")):
        source, there = ROOT / name, tree / name
        if source.is_file():
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, there)
    for name in LENT:
        if not (tree / name).exists():
            (tree / name).symlink_to(ROOT / name)
    return tree


class Catchers:
    """Runs tests and scenarios in a tree, with shared servers for all tests."""

    def __init__(self, tree: Path, servers: dict[str, str]) -> None:
        self._tree = tree
        paths = [str(tree), *(str(tree / source / "src") for source in SOURCES)]
        self._environment = {**os.environ, **servers, "PYTHONPATH": os.pathsep.join(paths)}

    def test(self, names: Sequence[str]) -> Run:
        """Run some tests; stop at the first failure."""
        quiet = ["-q", "-x", "--tb=short", "-p", "no:cacheprovider", "-o", "addopts="]
        mode = ["--import-mode=importlib", "-m", ""]
        return self._timed(["pytest", *quiet, *mode, *names], _words_of_pytest)

    def play(self, names: Sequence[str]) -> Run:
        """Run some scenarios over one system."""
        reports = self._tree / ".run" / "chaos"
        shutil.rmtree(reports, ignore_errors=True)
        reports.mkdir(parents=True)
        file = reports / "wanted.json"
        plan.directed(SEED, names).save(file)
        return self._timed(
            ["tests.chaos", "--plan", str(file), "--slack", SLACK],
            lambda _: _words_of_scenarios(reports),
        )

    def _timed(self, module: Sequence[str], words: Callable[[str], list[str]]) -> Run:
        began = time.monotonic()
        running = subprocess.Popen(
            [str(VENV / "bin" / "python"), "-m", *module],
            cwd=self._tree,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            output, _ = running.communicate(timeout=LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            return Run(False, [f"not done after {LONGEST_SECONDS:.0f} s"], LONGEST_SECONDS)
        finally:
            running.kill()
        return Run(running.returncode == 0, words(output), time.monotonic() - began)


def _words_of_pytest(output: str) -> list[str]:
    lines = output.splitlines()
    said = [line[1:].strip() for line in lines if line.startswith("E  ")]
    return said or lines[-1:]


def _words_of_scenarios(reports: Path) -> list[str]:
    """Return the violations; an inconclusive scenario returns its reason."""
    said: list[str] = []
    for report in reports.glob("*/report.json"):
        for result in json.loads(report.read_text())["results"]:
            shown = result["verdict"] == "VIOLATION"
            said += [
                one if shown else f"{result['verdict']}: {one}" for one in result["violations"]
            ]
    return said or ["no report"]


def prove_sound(found: Sequence[Bug], catchers: Catchers) -> list[str]:
    """Run each distinct test on the tree without a bug; return the failures."""
    tests = sorted({bug.test for bug in found if bug.test})
    scenarios = [name for name in catalogue.BY_NAME if name in {bug.scenario for bug in found}]
    failed = []
    for kind, names, run in (
        ("tests", tests, catchers.test),
        ("scenarios", scenarios, catchers.play),
    ):
        if names:
            clean = run(names)
            say.line(
                ROWS.format(
                    f"(none), {len(names)} {kind}",
                    "",
                    f"{clean.seconds:.0f}",
                    "pass" if clean.passed else clean.said[0],
                )
            )
            failed += [] if clean.passed else [f"a catcher fails without any bug: {clean.said[0]}"]
    return failed


def catch(bug: Bug, tree: Path, catchers: Catchers) -> bool:
    """Plant a bug, run its test, and remove it again; return whether it was detected."""
    apply(bug, tree)
    try:
        run = catchers.play([bug.scenario]) if bug.scenario else catchers.test([bug.test])
    finally:
        apply(bug, tree, "-R")
    shown = next((one for one in run.said if re.search(bug.shows, one)), "")
    caught = bool(shown) and not run.passed and not shown.startswith("INCONCLUSIVE")
    verdict = "caught" if caught else "MISSED"
    words = shown if caught else "it passed" if run.passed else run.said[0]
    say.line(ROWS.format(bug.name, verdict, f"{run.seconds:.0f}", bug.catcher))
    say.line(f"{'':45}{words[:WIDTH]}")
    return caught


def run(wanted: str = "") -> int:
    """Plant each bug whose name contains `wanted`, print the result; return 0 when all were
    detected.
    """
    found = bugs(wanted)
    tree = copy()
    wrong = [
        f"{bug.name}: {why}"
        for bug in found
        if (why := missing(bug) or apply(bug, tree, "--check"))
    ]
    for why in wrong:
        say.line(f"cannot be planted any more: {why}")
    usable = [bug for bug in found if not any(why.startswith(bug.name) for why in wrong)]
    with ExitStack() as stack:
        catchers = Catchers(tree, _servers(stack))
        say.line(ROWS.format("planted bug", "", "s", "caught by, and its words"))
        wrong += prove_sound(usable, catchers)
        missed = [bug.name for bug in usable if not catch(bug, tree, catchers)]
    say.line(
        f"{len(usable) - len(missed)} of {len(found)} planted bugs caught; missed: {', '.join(missed) or 'none'}"
    )
    return 1 if wrong or missed or not found else 0


def _servers(stack: ExitStack) -> dict[str, str]:
    return {
        "TEST_POSTGRES_URL": stack.enter_context(borrowed.postgres_url()),
        "TEST_REDIS_URL": stack.enter_context(borrowed.valkey_url()),
        "TEST_KAFKA_BOOTSTRAP_SERVERS": stack.enter_context(borrowed.kafka_servers()),
    }
