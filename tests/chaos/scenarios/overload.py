"""Overload (row 58): 1, 2 and 4 times the capacity of a process, by an open loop."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import aiohttp
from tests.chaos import measured, offered, operators
from tests.chaos.measured import Measured
from tests.chaos.targets import COUNTS, CUSTOMERS, Target, targets
from tests.chaos.trial import InconclusiveError, Scenario, Trial
from tests.oracle.compare import agree
from tests.oracle.settle import settled

if TYPE_CHECKING:
    from collections.abc import Iterable

OFFER_SECONDS = 4.0
TIMES = (1, 2, 4)
SERVING = ("gateway", "query", "writer")
#: So many successful responses in a row, each within the time, count as normal.
GOOD_ANSWERS = 10
GOOD_SECONDS = 0.5
REST_SECONDS = 30.0
AGREE_SECONDS = 90.0
#: Imports have a limit of their own, and a reason for it.
REASONS_OF = {"import": {"503 overloaded", "429 busy"}}


async def requests(t: Trial) -> None:
    """Overload each serving process: it stays at its peak, and rejects the excess soon, for the
    true reason.
    """
    with offered.separated(t.stack.pids().values()):
        customers = await t.load.found_more(CUSTOMERS)
        await warm(t)
        before = {name: operators.held(t.stack, name) for name in SERVING}
        for target in targets(t, customers):
            await _overload(t, target)
        await nothing_leaked(t, before)
        await settled(t.places, customers, AGREE_SECONDS)
        await agree(t.places, customers)
    t.stage("overload", f"{len(t.measured)} offers")


async def _overload(t: Trial, target: Target) -> None:
    """Send a process its capacity, twice and four times that; each between two measurements of its
    peak.
    """
    seconds = max(1.0, t.lasting(OFFER_SECONDS))
    peak, cost = await _peak(t, target, seconds)
    for times in TIMES:
        held = operators.held(t.stack, target.process)
        used = offered.processor_seconds(held.pid)
        found = await offered.send(target.open(times * peak.served, seconds))
        used = offered.processor_seconds(held.pid) - used
        normal = await until_normal(t, time.monotonic())
        resident = operators.held(t.stack, target.process).resident
        later, _ = await _peak(t, target, seconds)
        result = Measured(
            process=target.name,
            load=f"{times} x {peak.served:.0f}/s",
            offered=found.offered,
            served=found.served,
            # Of the lower peak: other work on the machine is not the process's fault.
            share=found.served / min(peak.served, later.served),
            refused=found.refused,
            reasons=found.reasons,
            longest_served=found.served_in.longest,
            longest_refused=found.refused_in.longest,
            normal=normal,
            growth=resident - held.resident,
            refusing=max(0.0, 1 - cost * found.served * seconds / used) if used else None,
        )
        t.measured.append(result)
        judge(t, result, found, REASONS_OF.get(target.name, measured.TRUE_REASONS))
        peak = later


async def _peak(t: Trial, target: Target, seconds: float) -> tuple[offered.Answered, float]:
    """Return the rate of a closed loop, and the processor seconds of one response."""
    pid = t.stack.pids(target.process)[target.process]
    used = offered.processor_seconds(pid)
    found = await offered.send(target.closed(seconds))
    used = offered.processor_seconds(pid) - used
    if not found.served:
        raise InconclusiveError(f"{target.name} serves nothing: {found}")
    return found, used / (found.served * seconds)


def judge(t: Trial, result: Measured, found: offered.Answered, true_reasons: Iterable[str]) -> None:
    """Record every broken guarantee."""
    t.broken += measured.broken_promises(result, t.slack, true_reasons)
    name = f"{result.process} at {result.load}"
    t.expect(not found.broken, f"I12: {name} broke {found.broken} connections")
    t.expect(not found.unanswered, f"I12: {name} left {found.unanswered} without an answer")
    t.expect(
        not found.without_retry_after,
        f"I12: {name} refused {found.without_retry_after} without Retry-After",
    )
    if found.unsent:
        t.evidence.append(f"{name}: {found.unsent} arrivals found no free caller")


async def until_normal(t: Trial, since: float) -> float | None:
    """Return the seconds until portal and writer respond normally; None when that takes too long."""
    good = 0
    url = t.stack.description["urls"]
    cookie = {"Cookie": f"sessionid={t.readers.browsers[0].cookie}"}
    profile = f"{url['writer']}/v1/customers/{t.load.hot[0]}"
    asks = [(url["portal"] + COUNTS, cookie), (profile, {"Authorization": f"Bearer {t.key}"})]
    timeout = aiohttp.ClientTimeout(total=GOOD_SECONDS * t.slack)
    async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as http:
        first = since
        while good < GOOD_ANSWERS:
            if not good:
                first = time.monotonic()
                if first - since > measured.NORMAL_SECONDS * t.slack:
                    return None
            good = good + 1 if await _all_good(http, asks) else 0
            await asyncio.sleep(0.02)
    return first - since


async def _all_good(
    http: aiohttp.ClientSession, asks: Iterable[tuple[str, dict[str, str]]]
) -> bool:
    for url, headers in asks:
        try:
            async with http.get(url, headers=headers, allow_redirects=False) as answer:
                await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False
        if answer.status != 200:
            return False
    return True


async def warm(t: Trial) -> None:
    """Fill pools and caches, so that the resources afterwards are comparable."""
    if await until_normal(t, time.monotonic()) is None:
        raise InconclusiveError("the system is not normal before the load")


async def nothing_leaked(t: Trial, before: dict[str, operators.Held]) -> None:
    """Wait until every process holds no more than before; record the excess after a deadline."""
    found: list[str] = []
    until = time.monotonic() + REST_SECONDS * t.slack
    while time.monotonic() < until:
        found = []
        for name, held in before.items():
            found += measured.leaked(name, held, operators.held(t.stack, name))
        if not found:
            return
        await asyncio.sleep(0.2)
    t.broken += found


SCENARIOS = [
    Scenario("overload of requests", "58", requests, may_break=True, direct=True),
]
