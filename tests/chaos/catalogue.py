"""Every directed scenario, in the order in which they are run."""

from tests.chaos.scenarios import (
    brokers,
    caches,
    clocks,
    databases,
    kills,
    limits,
    pauses,
    poison,
    promises,
    redelivery,
    restores,
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
]
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
