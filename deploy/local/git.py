"""Reading the repository with git, where there is one: an exported tree has no history."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def lines(root: Path, *arguments: str) -> list[str] | None:
    """Return the output lines of a git command in `root`; None without git, or after an error."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout.splitlines() if done.returncode == 0 else None
