"""Simulation of the whole pipe in one loop: any order of responses, failures, pauses and deaths.

Relay, projector and publisher are those of production, composed as in production.
Kafka, the two databases, Redis and the clock are in memory (`tests/laws/world`).
`world/truth.py` defines the invariants and the moments of their checks.
Excluded cases: a writer's clock set back; a forged record that fits as the next event of a stream.
Also excluded: a record replaced after it was read, and a relay that runs through a restore.
"""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.laws.world.doors import opened
from tests.laws.world.faults import FAULTS, Fault
from tests.laws.world.world import World

#: Long enough for some commands to pass, short enough to be read.
schedules = st.binary(min_size=200, max_size=500)


@pytest.fixture(autouse=True, scope="module")
def _doors() -> Iterator[None]:
    with opened():
        yield


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@settings(max_examples=25, derandomize=True, suppress_health_check=list(HealthCheck))
@given(decisions=schedules)
def test_no_number_is_wrong_in_whatever_order_things_happen(fault: Fault, decisions: bytes) -> None:
    World(decisions, fault).run()


@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@settings(max_examples=1_000, suppress_health_check=list(HealthCheck))
@given(decisions=schedules)
def test_no_number_is_wrong_in_many_more_orders(fault: Fault, decisions: bytes) -> None:
    World(decisions, fault).run()
