"""Tools for tests only: a browser from Debian, and Node's modules if there is npm.

A missing tool is reported, and the tests that need it are skipped by name.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from deploy.local import machine, say
from deploy.local.layout import ROOT
from deploy.local.trouble import Trouble

if TYPE_CHECKING:
    from pathlib import Path

_NPM_SECONDS = 300


def ensure(logs: Path) -> None:
    """Install the missing tools that this machine can install."""
    if shutil.which("chromium") is None:
        _browser(logs / "apt.log")
    if shutil.which("npm") is None:
        say.line(
            "Without npm the pages' scripts are not built again to compare them, and axe judges nothing."
        )
    elif not _has_modules():
        _modules(logs / "npm.log")


def _has_modules() -> bool:
    """Return whether the installed modules are as new as the lock; npm records its installs in a file."""
    installed = ROOT / "node_modules" / ".package-lock.json"
    lock = ROOT / "package-lock.json"
    return installed.is_file() and installed.stat().st_mtime >= lock.stat().st_mtime


def _browser(log: Path) -> None:
    if not machine.can_apt():
        say.line("Without Chromium the page is not tested in a browser: apt-get install chromium.")
        return
    say.line("Installing Debian's Chromium for the tests of the page.")
    try:
        machine.apt_install("chromium", log)
    except Trouble as trouble:
        say.line(f"The page is not tested in a browser: {trouble}. Log: {log}")


def _modules(log: Path) -> None:
    say.line("Installing Node's modules, to build the pages' scripts again and to judge the pages.")
    try:
        with log.open("w") as output:
            subprocess.run(
                ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=_NPM_SECONDS,
                check=True,
            )
    except subprocess.SubprocessError:
        # An incomplete folder would look like a complete one.
        shutil.rmtree(ROOT / "node_modules", ignore_errors=True)
        say.line(
            f"The pages' scripts are not built again, nor the pages judged: npm failed. Log: {log}"
        )
