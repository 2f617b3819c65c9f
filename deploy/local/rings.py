"""`./dev test`: check, then the rings of tests from the inside out in one run of pytest."""

from __future__ import annotations

import os
import subprocess

from deploy.local import checks, say
from deploy.local.layout import ROOT, venv_python


def run(*, long: bool, extra: list[str]) -> int:
    """Run the checks and all tests; pytest's closing line comes last. Return 0 only when both are clean."""
    failed = [] if extra else checks.run()
    if failed:
        say.line(
            say.paint(f"check failed: {', '.join(failed)}; the tests are run all the same", say.RED)
        )
    chosen = [] if long else ["-m", "not long"]
    command = [venv_python(), "-m", "pytest", *chosen, *extra]
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
