"""Every directed scenario as a test, in its short form; one shared system, stop at the first
violation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.chaos import catalogue, system
from tests.chaos.conftest import RESULTS, SLACK
from tests.chaos.trial import Scenario
from tests.chaos.verdict import NOT_STAGED, Result, conduct

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
SEED = 1
# Faults last until they are visible; ./dev chaos holds them longer.
HOLD = 0.4


def _cases() -> Iterator[pytest.ParameterSet]:
    """Yield each scenario in its short form; one that is shorter than others also in its usual form, as a long test."""
    for one in catalogue.SCENARIOS:
        # What is measured without links is what processes can do: that takes the whole machine.
        marks = [pytest.mark.alone] if one.direct else []
        yield pytest.param(one, one.short or HOLD, id=one.name, marks=marks)
        if one.short:
            long = [*marks, pytest.mark.long]
            yield pytest.param(one, 1.0, id=f"{one.name}, usual length", marks=long)


@pytest.fixture(scope="session")
def broken_stack() -> Iterator[system.ChaosStack]:
    with system.started() as running:
        yield running


@pytest.mark.parametrize(("scenario", "hold"), [*_cases()])
async def test_no_number_is_wrong_whatever_dies(
    broken_stack: system.ChaosStack,
    scenario: Scenario,
    hold: float,
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    results = pytestconfig.stash[RESULTS]
    broken = [result.name for result in results if result.verdict == "VIOLATION"]
    if broken:
        pytest.skip(f"this would be blamed for what {broken[0]} has broken")

    async def stage(attempt: str) -> Result:
        folder = tmp_path / attempt
        folder.mkdir()
        staged = await conduct(broken_stack, scenario, SEED, folder, hold=hold, slack=SLACK)
        results.append(staged)
        return staged

    result = await stage("first")
    if result.verdict == "INCONCLUSIVE":
        # A fault that a busy machine could not stage proves nothing.
        result = await stage("second")

    if result.verdict == NOT_STAGED:
        pytest.skip(result.evidence[-1])
    assert result.verdict == "ok", result.violations[:5]
