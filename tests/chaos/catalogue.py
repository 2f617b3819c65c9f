"""Every directed scenario, in the order in which they are run."""

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
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
