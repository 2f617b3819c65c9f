"""Catalogue of the directed scenarios, in the order of a run."""

from tests.chaos.scenarios import (
    backlogs,
    brokers,
    caches,
    clients,
    clocks,
    databases,
    kills,
    limits,
    overload,
    pauses,
    poison,
    promises,
    redelivery,
    restores,
    stalls,
    standby,
    wires,
)

SCENARIOS = [
    *kills.SCENARIOS,
    *redelivery.SCENARIOS,
    *poison.SCENARIOS,
    *caches.SCENARIOS,
    *brokers.SCENARIOS,
    *databases.SCENARIOS,
    *pauses.SCENARIOS,
    *promises.SCENARIOS,
    *wires.SCENARIOS,
    *restores.SCENARIOS,
    *clocks.SCENARIOS,
    *limits.SCENARIOS,
    *standby.SCENARIOS,
    *overload.SCENARIOS,
    *backlogs.SCENARIOS,
    *stalls.SCENARIOS,
    *clients.SCENARIOS,
]
#: Rows that need no load or another system, with the tests that stage them. Row 62 stops and starts
#: the whole system, including the supervisor that a trial watches.
ELSEWHERE = {
    "61": "shared/tests/integration/test_pools.py",
    "62": "tests/system/test_lost_stores.py",
}
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
