"""Table of scenarios at the end of a run of pytest, after failures as well."""

from __future__ import annotations

import pytest
from tests.chaos import report
from tests.chaos.verdict import Result

# Test machines may be busy: deadlines in seconds may take five times as long.
SLACK = 5.0
RESULTS = pytest.StashKey[list[Result]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RESULTS] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    results = terminalreporter.config.stash[RESULTS]
    if results:
        terminalreporter.section("what was broken on purpose")
        lines = (report.head(), *map(report.line, results), *report.loads(results))
        for text in (*lines, report.total(results, SLACK)):
            terminalreporter.write_line(text)
