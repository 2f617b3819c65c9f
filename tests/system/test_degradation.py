"""Degradation matrix: with any part unavailable, slow or silent, the rest works, errors name the
reason, and the system recovers.

A part is broken once in each mode, all callers send, and each test below checks its own aspect.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.chaos import system
from tests.chaos.trial import NotStagedError
from tests.system import callers, degraded
from tests.system.callers import COLUMNS, NOBODY, OK, SAYS_SO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.chaos.system import ChaosStack
    from tests.system.callers import Told
    from tests.system.degraded import Flood, Row, Spell

#: The longest deadline: the gateway gives any response within ten seconds.
PROMISED_SECONDS = 10.0
#: Two seconds for Postgres after a recent miss in Redis, one for the page's additional reads in
#: Postgres; the rest is for a busy machine.
SOON_SECONDS = 4.0
#: A driver with ten attempts a second on a few connections is moderate; one without a pause makes
#: thousands.
TRIES_A_SECOND = 50

rows = pytest.mark.parametrize("row", degraded.ROWS, ids=lambda row: row.name)
modes = pytest.mark.parametrize("mode", degraded.MODES)


class Matrix:
    """A running system with its failures; each failure is staged at its first use."""

    def __init__(self, stack: ChaosStack, sessions: list[str]) -> None:
        self._stack = stack
        self._sessions = sessions
        self._seen: dict[tuple[str, str], Spell] = {}
        self._by_wrong_clocks: dict[str, Told] | None = None

    def spell(self, row: Row, mode: str) -> Spell:
        """Return the record of the part's failure in this mode."""
        place = (row.name, mode)
        if place not in self._seen:
            work = degraded.spell(self._stack, self._sessions, row, mode)
            self._seen[place] = asyncio.run(work)
        return self._seen[place]

    def flood(self, part: str) -> Flood:
        """Return the record of the part's overload."""
        return asyncio.run(degraded.overloaded(self._stack, self._sessions, part))

    def under_wrong_clocks(self, folder: Path) -> dict[str, Told]:
        """Return all responses under slightly different clocks. Raises NotStagedError."""
        if self._by_wrong_clocks is None:
            work = degraded.under_wrong_clocks(self._stack, self._sessions, folder)
            self._by_wrong_clocks = asyncio.run(work)
        return self._by_wrong_clocks


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    with system.started() as stack:
        yield Matrix(stack, asyncio.run(callers.prepare(stack, tmp_path_factory.mktemp("user"))))


@rows
@modes
@pytest.mark.parametrize("column", COLUMNS)
def test_who_can_be_served_is_served_and_who_cannot_is_told_so(
    matrix: Matrix, row: Row, mode: str, column: str
) -> None:
    told = matrix.spell(row, mode).told[column]

    expected = row.expected(column, mode)
    assert {one.outcome for one in told} == {expected}, told
    if expected == SAYS_SO:
        assert all(one.says_why for one in told), told
    if expected != NOBODY:
        assert max(one.seconds for one in told) < PROMISED_SECONDS


@modes
def test_a_page_does_not_wait_for_what_it_can_do_without(matrix: Matrix, mode: str) -> None:
    row = next(row for row in degraded.ROWS if row.name == "Postgres of the read model")
    told = matrix.spell(row, mode).told["dashboard"]

    assert max(one.seconds for one in told) < SOON_SECONDS


#: Parts with their unaffected columns. An import overloads relay and projector with as many events
#: as the writer accepts.
FLOODED = {
    "gateway": {"command"},
    "query, counts": {"login", "command"},
    "query, repairs": {"login", "command"},
    "writer": {"login", "counts"},
    "import": {"login", "counts"},
}


@pytest.mark.parametrize("part", FLOODED)
def test_a_part_with_too_much_to_do_refuses_and_says_so(matrix: Matrix, part: str) -> None:
    flood = matrix.flood(part)

    for column, told in flood.told.items():
        allowed = {OK} if column in FLOODED[part] else {OK, SAYS_SO}
        assert {one.outcome for one in told} <= allowed, (column, told)
        assert all(one.says_why for one in told if one.outcome == SAYS_SO), (column, told)
        assert max(one.seconds for one in told) < PROMISED_SECONDS
    assert (flood.answered.broken, flood.answered.unanswered) == (0, 0), flood.answered
    assert flood.answered.without_retry_after == 0
    assert flood.ended == []


@rows
@modes
def test_nobody_hammers_on_what_is_broken(matrix: Matrix, row: Row, mode: str) -> None:
    spell = matrix.spell(row, mode)

    calls = sum(map(len, spell.told.values()))
    assert spell.taken <= 2 * calls + TRIES_A_SECOND * spell.links * spell.seconds


@rows
@modes
def test_nobody_has_to_restart_anything(matrix: Matrix, row: Row, mode: str) -> None:
    assert matrix.spell(row, mode).ended == []


@pytest.mark.parametrize("mode", ["away", "silent"])
@pytest.mark.parametrize(
    "row", [row for row in degraded.ROWS if row.stale], ids=lambda row: row.name
)
def test_figures_that_stand_still_say_how_old_they_are(matrix: Matrix, row: Row, mode: str) -> None:
    spell = matrix.spell(row, mode)

    assert spell.acked is not None
    assert spell.read is not None
    revision, acked_at = spell.acked
    assert spell.read.revision < revision, "the figures did not stand still: nothing was shown"
    assert spell.read.lag is not None
    assert spell.read.lag >= spell.read.began - acked_at


@pytest.mark.parametrize("column", COLUMNS)
def test_clocks_that_differ_a_little_cost_nobody_anything(
    matrix: Matrix, tmp_path: Path, column: str
) -> None:
    try:
        told = matrix.under_wrong_clocks(tmp_path)[column]
    except NotStagedError as why:
        pytest.skip(str(why))

    assert told.outcome == OK, told
