"""Report of a soak: all actions and results, as lines for a person and one object for a file."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.chaos.report import quantile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.chaos.memory import Life
    from tests.chaos.verdict import Result


def summed(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the sums of counters, the largest first."""
    return dict(sum((Counter(part) for part in parts), Counter()).most_common())


def summary(
    results: Sequence[Result], lives: Sequence[Life], restarts: Mapping[str, int], seconds: float
) -> dict[str, Any]:
    """Return every figure of a soak by its name."""
    staged = summed(result.staged for result in results)
    converged = sorted(result.converged_seconds for result in results) or [0.0]
    acked, reads = (sum(getattr(one, name) for one in results) for name in ("acked", "reads"))
    failed = summed(result.failed for result in results)
    return {
        "seconds": round(seconds),
        "commands acknowledged": acked,
        "commands a second": round(acked / seconds, 1),
        "reads checked": reads,
        "reads a second": round(reads / seconds, 1),
        "faults": sum(staged.values()),
        "faults by kind": staged,
        "failpoints fired": {name: n for name, n in staged.items() if "." in name},
        "restarts": dict(restarts),
        "converge seconds p50, p99, max": [quantile(converged, share) for share in (0.5, 0.99, 1)],
        "not answered": failed,
        "available %": round(100 * reads / max(1, reads + sum(failed.values())), 2),
        "ages judged": summed(result.ages for result in results),
        "memory": [str(life) for life in lives],
        "violations": violations(results, lives),
    }


def violations(results: Sequence[Result], lives: Sequence[Life]) -> list[str]:
    """Return the violations: the first witness of each round, and processes that grew too much."""
    found = [f"{one.name}: {violation}" for one in results for violation in one.violations]
    return [*found, *(f"memory: {life}" for life in lives if life.too_much)]


def lines(figures: Mapping[str, Any]) -> list[str]:
    """Return the figures as lines for a person."""
    shown: list[str] = []
    for name, value in figures.items():
        if name in {"memory", "violations"}:
            shown += [f"{name:32}{len(value)}", *(f"    {one}"[:300] for one in value[:20])]
        elif isinstance(value, dict):
            shown.append(
                f"{name:32}{', '.join(f'{key} {n}' for key, n in value.items()) or 'none'}"
            )
        else:
            shown.append(f"{name:32}{value}")
    return shown
