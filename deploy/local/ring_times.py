"""Hooks of pytest: rings of tests, in their order.

`--rings` chooses some of them; `--ring-times` prints the duration of each before the closing line.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

# From the inside out; an unlisted ring comes last.
RINGS = ("unit", "laws", "contract", "integration", "dev", "system", "security", "browser", "chaos")
OTHERS = "others"


def ring_of(path: Path) -> int:
    """Return the index of a test file's ring in the order of the rings."""
    named = [RINGS.index(part) for part in path.parts if part in RINGS]
    return named[-1] if named else len(RINGS)


class RingTimes:
    """Sum of set-up, call and tear-down of each ring's tests, in seconds."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}
        self._tests: Counter[int] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add a phase of a test to its ring."""
        ring = ring_of(Path(report.location[0]))
        self._seconds[ring] = self._seconds.get(ring, 0.0) + report.duration
        self._tests[ring] += report.when == "setup"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print a line a ring."""
        terminalreporter.section("time of each ring")
        for ring, seconds in sorted(self._seconds.items()):
            name = (*RINGS, OTHERS)[ring]
            terminalreporter.line(f"{name:<12} {self._tests[ring]:5} tests {seconds:8.1f} s")


def arrange(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what is not in `--rings`; sort the rings from the inside out, and leave the order within a ring.

    Raises UsageError for an unknown ring.
    """
    names = (*RINGS, OTHERS)
    chosen = set(filter(None, config.getoption("--rings").split(",")))
    if unknown := chosen.difference(names):
        raise pytest.UsageError(f"--rings: no ring {sorted(unknown)}; there are {', '.join(names)}")
    if chosen:
        rest = [item for item in items if names[ring_of(item.path)] not in chosen]
        config.hook.pytest_deselected(items=rest)
        items[:] = [item for item in items if names[ring_of(item.path)] in chosen]
    items.sort(key=lambda item: ring_of(item.path))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--rings` and `--ring-times`."""
    parser.addoption("--rings", default="", help="run these rings only, with commas between them")
    parser.addoption("--ring-times", action="store_true", help="print the time of each ring")


def pytest_configure(config: pytest.Config) -> None:
    """Register the measurement with `--ring-times`."""
    if config.getoption("--ring-times"):
        config.pluginmanager.register(RingTimes(), "ring-times-measured")
