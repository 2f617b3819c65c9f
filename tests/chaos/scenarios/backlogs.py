"""Backlogs of events (row 58): 1, 2 and 4 times the amount that relay and projector process in a
while.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
from deploy.local import process_id
from tests.chaos import measured, operators
from tests.chaos.measured import Measured
from tests.chaos.scenarios.overload import AGREE_SECONDS, until_normal
from tests.chaos.trial import InconclusiveError, Scenario, Trial
from tests.oracle.compare import agree
from tests.oracle.settle import settled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EVENTS = 10_000
LINES_A_BODY = 1_000
CUSTOMERS = 40
#: The first one is the peak for the others.
TIMES = (1, 1, 2, 4)
PROJECTORS = ("projector-1", "projector-2")
SAMPLE_SECONDS, SAMPLES = 0.02, 5
DRAIN_SECONDS = 120.0


@dataclass(frozen=True)
class Part:
    """Processes that share a backlog, and the counter of their progress."""

    name: str
    processes: tuple[str, ...]
    counter: str


RELAY = Part("relay", ("relay",), "repair_relay_sent_records_total")
PROJECTOR = Part("projector", PROJECTORS, 'repair_events_applied_total{result="applied"}')


async def events(t: Trial) -> None:
    """Measure relay and projectors on backlogs: the peak rate whatever the length, in bounded
    memory.
    """
    customers = await t.load.found_more(CUSTOMERS)
    peaks: dict[str, float] = {}
    for number, times in enumerate(TIMES):
        count = times * max(1, round(t.lasting(EVENTS)))
        await t.down("relay", *PROJECTORS)
        await _import(t, customers, count, f"{time.time_ns()}-{number}")
        await asyncio.to_thread(t.stack.hold, *PROJECTORS)
        await _drained(t, RELAY, count, peaks)
        t.stack.want()
        await _drained(t, PROJECTOR, count, peaks)
    await settled(t.places, customers, AGREE_SECONDS)
    await agree(t.places, customers)


async def _import(t: Trial, customers: Sequence[int], count: int, run: str) -> None:
    """Import so many events into the writer. Raises InconclusiveError when it accepts fewer."""
    for start in range(0, count, LINES_A_BODY):
        lines = [
            json.dumps(
                {
                    "customer_id": customers[line % len(customers)],
                    "unit_number": f"TRUCK {line % 12:02d}",
                    "repair_date": "2026-02-11T15:00:00Z",
                    "status": "PENDING",
                    "source_ref": f"{run}-{line}",
                }
            )
            for line in range(start, min(start + LINES_A_BODY, count))
        ]
        async with t.load.http.post(
            f"{t.stack.description['urls']['writer']}/v1/repairs/import",
            data=("\n".join(lines) + "\n").encode(),
            headers={"Content-Type": "application/x-ndjson"},
            timeout=aiohttp.ClientTimeout(total=60),
        ) as answer:
            await answer.read()
            refused = answer.headers.get("Import-Refused")
        if answer.status != 200 or refused != "0":
            raise InconclusiveError(f"an import was answered {answer.status}, {refused} refused")


async def _drained(t: Trial, part: Part, count: int, peaks: dict[str, float]) -> None:
    """Measure the rate of freshly started processes on a backlog, from the first event to the last."""
    first = last = 0.0
    done, begun, small, large = 0.0, 0.0, 0, 0
    until = time.monotonic() + DRAIN_SECONDS * t.slack
    read = _reader(t, part)
    while done < count:
        now = time.monotonic()
        if now > until:
            raise InconclusiveError(f"{part.name} took {done:.0f} of {count} events")
        seen, resident = await asyncio.to_thread(read)
        if seen and not first:
            first, begun, small = now, seen, resident
        if seen > done:
            done, last = seen, now
        large = max(large, resident)
        await asyncio.sleep(SAMPLE_SECONDS)
    # A backlog that ends within a few samples is too short for a rate.
    measurable = last - first > SAMPLES * SAMPLE_SECONDS
    rate = (done - begun) / (last - first) if measurable else 0.0
    peak = peaks.setdefault(part.name, rate) if measurable else 0.0
    result = Measured(
        process=part.name,
        load=f"{count} events",
        served=rate,
        share=rate / peak if peak else None,
        normal=await until_normal(t, time.monotonic()),
        growth=large - small,
    )
    t.stage(f"backlog of {part.name}", f"{count} events at {rate:.0f}/s")
    t.measured.append(result)
    t.broken += measured.broken_promises(result, t.slack)


def _reader(t: Trial, part: Part) -> Callable[[], tuple[float, int]]:
    ports = [t.stack.system.ports[f"{name.replace('-', '_')}_ops"] for name in part.processes]

    def read() -> tuple[float, int]:
        """Return the shared progress of these processes, and the memory of the largest."""
        seen = 0.0
        for port in ports:
            try:
                seen += operators.samples(port).get(part.counter, 0.0)
            except OSError:  # it starts
                continue
        pids = t.stack.pids(*part.processes).values()
        return seen, max((process_id.resident_bytes(pid) or 0 for pid in pids), default=0)

    return read


SCENARIOS = [Scenario("overload of events", "58", events, may_break=True, direct=True)]
