"""What a run showed: a table for a person, a file for everything else."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.chaos.verdict import Result

WIDTHS = "{:<34} {:<7} {:<13} {:>6} {:>6} {:>6} {:>6} {:>5} {:>8} {:>7} {:>10}"
TITLES = (
    "scenario", "row", "verdict", "staged", "acked", "again", "reads", "503", "converge", "seconds", "violations",
)  # fmt: skip


def head() -> str:
    """Return the titles of the table."""
    return WIDTHS.format(*TITLES)


def line(result: Result) -> str:
    """Return one result as a line of the table."""
    return WIDTHS.format(
        result.name[:34],
        result.row[:7],
        result.verdict,
        sum(result.staged.values()),
        result.acked,
        result.retried,
        result.reads,
        result.unavailable,
        f"{result.converged_seconds:.1f} s",
        f"{result.seconds:.0f}",
        len(result.violations),
    )


def total(results: Sequence[Result]) -> str:
    """Return the sums."""
    bad = [result.name for result in results if result.verdict != "ok"]
    sums = (
        f"{len(results)} scenarios, {sum(sum(r.staged.values()) for r in results)} faults, "
        f"{sum(r.acked for r in results)} commands, {sum(r.reads for r in results)} reads checked, "
        f"{sum(len(r.violations) for r in results)} violations"
    )
    return f"{sums}; not ok: {', '.join(bad)}" if bad else sums


def save(path: Path, seed: int, results: Sequence[Result]) -> None:
    """Write everything to a file."""
    found = {"seed": seed, "results": [asdict(result) for result in results]}
    path.write_text(json.dumps(found, indent=1, default=str) + "\n")
