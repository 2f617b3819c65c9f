"""Every directed scenario as a test, with short holds; they share one system."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.chaos import catalogue, system
from tests.chaos.trial import Scenario
from tests.chaos.verdict import conduct

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]
SEED = 1


@pytest.fixture(scope="session")
def broken_stack() -> Iterator[system.ChaosStack]:
    with system.started() as running:
        yield running


@pytest.mark.parametrize("scenario", catalogue.SCENARIOS, ids=lambda scenario: scenario.name)
async def test_no_number_is_wrong_whatever_dies(
    broken_stack: system.ChaosStack, scenario: Scenario, tmp_path: Path
) -> None:
    result = await conduct(broken_stack, scenario, SEED, tmp_path, hold=0.5)

    assert result.verdict == "ok", result.violations[:5]
