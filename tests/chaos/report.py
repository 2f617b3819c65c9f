"""Report of a run: a table for a person, a file with everything."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tests.chaos import measured
from tests.chaos.trial import PROMISED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
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


def loads(results: Sequence[Result]) -> list[str]:
    """Return the table of the measurements under load, or nothing."""
    lines = [found.line() for result in results for found in result.measured]
    return [measured.head(), *lines] if lines else []


def total(results: Sequence[Result], slack: float) -> str:
    """Return the sums, and the recovery time of each kind of fault with its limit."""
    bad = [f"{result.name} ({result.verdict})" for result in results if result.verdict != "ok"]
    sums = (
        f"{len(results)} scenarios, {sum(sum(r.staged.values()) for r in results)} faults, "
        f"{sum(r.acked for r in results)} commands, {sum(r.reads for r in results)} reads checked, "
        f"{sum(len(r.violations) for r in results)} violations"
    )
    lines = [f"{sums}; not ok: {', '.join(bad)}" if bad else sums, *_recoveries(results, slack)]
    return "\n".join(lines)


def _recoveries(results: Sequence[Result], slack: float) -> Iterator[str]:
    slower = "" if slack == 1 else f", on a slow machine {slack:.0f} times that"
    for blow, promised in PROMISED.items():
        took = sorted(result.recovered[blow] for result in results if blow in result.recovered)
        if took:
            yield (
                f"numbers agree after {blow}: {quantile(took, 0.5):.1f} s in the middle, "
                f"{took[-1]:.1f} s at most of {len(took)} (promised {promised:.0f} s{slower})"
            )


def quantile(ascending: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed."""
    return ascending[max(0, math.ceil(len(ascending) * share) - 1)]


def save(path: Path, seed: int, results: Sequence[Result], figures: Mapping[str, Any]) -> None:
    """Write everything to a file."""
    found = {"seed": seed, "soak": figures, "results": [asdict(result) for result in results]}
    path.write_text(json.dumps(found, indent=1, default=str) + "\n")
