"""Load of a soak under overload: gateway and writer at a multiple of their capacity beside other
faults.
"""

from __future__ import annotations

import asyncio

from tests.chaos import measured, offered, operators
from tests.chaos.measured import Measured
from tests.chaos.scenarios import overload, stalls
from tests.chaos.targets import CUSTOMERS, Target, targets
from tests.chaos.trial import InconclusiveError, Trial
from tests.oracle.compare import agree
from tests.oracle.settle import settled

PEAK_SECONDS = 2.0
OFFERED = ("gateway", "writer")


async def overloaded(t: Trial, times: float, seconds: float) -> None:
    """Measure both capacities, send a multiple of each at once, and compare the numbers of accepted
    requests.
    """
    customers = await t.load.found_more(CUSTOMERS)
    found = [one for one in targets(t, customers) if one.name in OFFERED]
    peaks = [await offered.send(target.closed(PEAK_SECONDS)) for target in found]
    if not all(peak.served for peak in peaks):
        raise InconclusiveError(f"a process serves nothing before the load: {peaks}")
    await asyncio.gather(
        *(
            _offer(t, target, times * peak.served, seconds)
            for target, peak in zip(found, peaks, strict=True)
        )
    )
    await settled(t.places, customers, overload.AGREE_SECONDS)
    await agree(t.places, customers)


async def _offer(t: Trial, target: Target, rate: float, seconds: float) -> None:
    held = operators.held(t.stack, target.process)
    answered = await offered.send(target.open(rate, seconds))
    result = Measured(
        process=target.name,
        load=f"{rate:.0f}/s, pauses",
        offered=answered.offered,
        served=answered.served,
        refused=answered.refused,
        reasons=answered.reasons,
        longest_served=answered.served_in.longest,
        longest_refused=answered.refused_in.longest,
        normal=0.0,
        growth=operators.held(t.stack, target.process).resident - held.resident,
    )
    t.measured.append(result)
    t.broken += measured.broken_promises(result, t.slack, stalls.PAUSED_REASONS, stalls.LONGEST)
    t.expect(not answered.broken, f"I12: {target.name} broke {answered.broken} connections")
    t.expect(not answered.unanswered, f"I12: {target.name} left {answered.unanswered} unanswered")
