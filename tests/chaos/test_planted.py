"""The planted bugs still apply, and each is detected."""

from __future__ import annotations

import pytest
from deploy.local.layout import ROOT
from tests.chaos import gate

BUGS = gate.bugs()


def test_there_are_planted_bugs() -> None:
    assert len(BUGS) >= 16


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_fits_the_tree_and_names_its_catcher(bug: gate.Bug) -> None:
    assert gate.missing(bug) == ""
    assert gate.apply(bug, ROOT, "--check") == "", f"make {bug.patch.name} anew for the code of now"


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_each_planted_bug_is_caught() -> None:
    assert gate.run() == 0
