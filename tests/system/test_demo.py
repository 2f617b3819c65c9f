"""The demo is imported as by an internal system, ends as its generator states, and is imported only
once.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest
from deploy.demo.fleets import CEDAR_RIDGE, LAKESHORE, MIDLAND, Fleet
from deploy.demo.lives import DAYS, SOURCE, history
from deploy.demo.load import load_fleet
from tests.oracle import rules

from service_runtime.clock import SystemClock

if TYPE_CHECKING:
    from tests.system.conftest import Portal


async def load_and_check(portal: Portal, fleet: Fleet) -> None:
    """Load a fleet twice and compare each repair with the generator's last state of it."""
    first_day = SystemClock().now().date() - timedelta(days=DAYS)
    await load_fleet(portal.writer, fleet, portal.time_zone, first_day)
    folded = (await portal.agreed([fleet.customer_id], patience=120))[fleet.customer_id]

    assert await load_fleet(portal.writer, fleet, portal.time_zone, first_day) == 0
    again = (await portal.agreed([fleet.customer_id]))[fleet.customer_id]
    assert again.revision == folded.revision
    found = {
        repair["source_ref"]: (
            repair["unit_number"], repair["repair_date"], repair["status"], repair["cost"], repair["removed"],
        )
        for repair in folded.repairs.values()
        if repair["source"] == SOURCE
    }  # fmt: skip
    assert found == _expected(fleet, first_day, portal.time_zone)


def _expected(fleet: Fleet, first_day: date, time_zone: str) -> dict[str, tuple[object, ...]]:
    steps = history(fleet, first_day, time_zone)
    removed = {step.source_ref for step in steps if step.act == "remove"}
    return {
        step.source_ref: (
            step.after["unit_number"],
            rules.moment(str(step.after["repair_date"])),
            step.after["status"],
            rules.money(str(step.after["cost"])),
            step.source_ref in removed,
        )
        for step in steps
    }


@pytest.mark.parametrize("fleet", [CEDAR_RIDGE, LAKESHORE], ids=lambda fleet: fleet.name)
async def test_a_fleet_played_through_the_commands_ends_as_it_was_made_up(
    portal: Portal, fleet: Fleet
) -> None:
    await load_and_check(portal, fleet)


@pytest.mark.long
async def test_a_fleet_played_through_the_import_ends_as_it_was_made_up(portal: Portal) -> None:
    await load_and_check(portal, MIDLAND)
