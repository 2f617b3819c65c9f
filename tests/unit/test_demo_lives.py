"""Properties of the demo's history: legal moves, sensible dates, the same for the same seed."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import pytest
from deploy.demo.fleets import CEDAR_RIDGE, FLEETS, LAKESHORE, MIDLAND, Fleet
from deploy.demo.lives import DAYS, Step, history, ref_of
from tests.oracle import rules

ZONE = "America/Chicago"
FIRST = date(2023, 11, 24)


@pytest.fixture(scope="module")
def midland() -> list[Step]:
    return history(MIDLAND, FIRST, ZONE)


@pytest.mark.parametrize("fleet", [CEDAR_RIDGE, LAKESHORE], ids=lambda fleet: fleet.name)
def test_the_same_seed_gives_the_same_history(fleet: Fleet) -> None:
    assert history(fleet, FIRST, ZONE) == history(fleet, FIRST, ZONE)
    assert history(fleet, FIRST, ZONE) != history(fleet, FIRST, ZONE, seed=1)


def test_every_life_makes_only_moves_that_the_rules_allow(midland: list[Step]) -> None:
    status: dict[str, str] = {}
    for step in midland:
        new = str(step.after["status"])
        if step.act == "record":
            assert step.source_ref not in status
        elif step.act == "status":
            assert new != status[step.source_ref]
            assert rules.may_move(status[step.source_ref], new)
        else:
            assert new == status[step.source_ref]
        status[step.source_ref] = new


def test_nothing_happens_to_a_repair_after_its_removal(midland: list[Step]) -> None:
    removed: set[str] = set()
    for step in midland:
        assert step.source_ref not in removed
        if step.act == "remove":
            removed.add(step.source_ref)
    assert 50 < len(removed) < 1000


@pytest.mark.parametrize("fleet", FLEETS, ids=lambda fleet: fleet.name)
def test_a_history_has_its_size_and_its_three_years(fleet: Fleet) -> None:
    steps = history(fleet, FIRST, ZONE)

    assert len({step.source_ref for step in steps}) == fleet.repairs
    assert steps == sorted(steps, key=lambda step: (step.at, step.source_ref))
    assert steps[0].at.date() == FIRST
    assert steps[-1].at.date() <= FIRST + timedelta(days=DAYS)
    assert steps[-1].at.date() > FIRST + timedelta(days=DAYS - 8)
    assert len({step.after["unit_number"] for step in steps}) <= fleet.units * 1.5


@pytest.mark.parametrize("fleet", FLEETS, ids=lambda fleet: fleet.name)
def test_the_first_and_the_last_repair_are_recorded_once_and_left_alone(fleet: Fleet) -> None:
    counts = Counter(step.source_ref for step in history(fleet, FIRST, ZONE))

    assert counts[ref_of(fleet, 1)] == counts[ref_of(fleet, fleet.repairs)] == 1


def test_the_large_fleet_has_every_status_and_its_seasons(midland: list[Step]) -> None:
    last = {step.source_ref: step for step in midland}
    months = Counter(str(step.after["repair_date"])[5:7] for step in last.values())

    assert {str(step.after["status"]) for step in last.values()} == set(rules.STATUSES)
    assert months["03"] > 1.5 * months["10"]
    assert len({str(step.after["repair_date"])[:7] for step in last.values()}) == 37
