"""`./dev test`: check, then the rings of tests from the inside out in one run of pytest.

With `--fast` only check, unit tests, and the integration tests of changed members.
"""

from __future__ import annotations

import os
import subprocess

from deploy.local import checks, fast, say
from deploy.local.layout import ROOT, venv_python

SLOWEST = 10


def run(*, long: bool, extra: list[str]) -> int:
    """Run the checks and all tests; pytest's closing line comes last. Return 0 only if both pass."""
    failed = [] if extra else checks.run()
    chosen = [] if long else ["-m", "not long"]
    return _run_tests(failed, [f"--durations={SLOWEST}", "--ring-times", *chosen, *extra])


def run_fast() -> int:
    """Run the checks and the integration tests of the members that differ from main; return as `run`."""
    members = fast.members_of(fast.changed_files())
    failed = checks.run(members)
    chosen = fast.integration_tests(members)
    say.line(f"changed: {', '.join(members) or 'nothing with integration tests'}")
    if not chosen:
        return 1 if failed else 0
    options = ["-q", "-m", "not long and not chaos", f"--durations={SLOWEST}", "--ring-times"]
    return _run_tests(failed, [*options, *chosen])


def _run_tests(failed: list[str], arguments: list[str]) -> int:
    if failed:
        say.line(
            say.paint(f"check failed: {', '.join(failed)}; the tests are run all the same", say.RED)
        )
    command = [venv_python(), "-m", "pytest", *arguments]
    settings = {**os.environ, "TESTCONTAINERS_RYUK_DISABLED": "true"}
    done = subprocess.Popen(
        command, cwd=ROOT, env=settings, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    last = ""
    for text in done.stdout or ():
        print(text, end="", flush=True)
        last = text.rstrip() or last
    code = done.wait()
    if failed:
        say.line(say.paint(f"check failed: {', '.join(failed)} (see above)", say.RED))
        say.line(last)
    return code or (1 if failed else 0)
