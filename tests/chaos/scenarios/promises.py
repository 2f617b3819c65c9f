"""Guarantees of an idempotency key over broken links (rows 3, 4, 5), and of a reader of one fleet
(50, 53).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from tests.chaos.load import Command
from tests.chaos.system import link_name
from tests.chaos.trial import InconclusiveError, Scenario, Trial

# Both sides of each change of the clock, of a month, a year and a leap day, in the portal's zone
# (UTC-6, UTC-5).
EDGES = (
    "2024-02-29T05:59:59Z", "2024-03-01T05:59:59Z", "2024-03-01T06:00:00Z", "2025-01-01T05:59:59.999999Z",
    "2025-01-01T06:00:00Z", "2025-03-09T07:59:59Z", "2025-03-09T08:00:00Z", "2025-03-31T23:59:59-05:00",
    "2025-04-01T04:59:59Z", "2025-04-01T05:00:00Z", "2025-11-01T04:59:59Z", "2025-11-02T06:30:00Z",
    "2025-11-02T07:30:00Z", "2025-12-01T05:59:59Z", "2025-12-31T23:59:59-06:00", "1990-01-31T06:00:00Z",
)  # fmt: skip


async def answer_lost(t: Trial) -> None:
    """Cut the response after a few bytes: a repetition gets the same body and revision; there is
    one effect.
    """
    await t.load.drain(30)
    link = link_name("publisher", "writer")
    for length in (0, 1, 17, 120, 300):
        before = t.links.seen([link])["cut"]
        t.links.cut(link, length)
        ack = await t.load.send(t.load.record(t.load.hot[0]))
        if t.links.seen([link])["cut"] == before:
            raise InconclusiveError("the answer was not cut")
        t.stage("cut", f"after {length} bytes, {ack.tries if ack else 0} tries")
        t.expect(
            ack is not None and ack.tries > 1, f"I2: an answer cut after {length} bytes was whole"
        )
        if ack is not None:
            again = await post(t, ack.command)
            t.expect(
                again == (ack.status, ack.body), f"I2: sent again it says {again}, not {ack.body}"
            )
    t.load.start()
    await t.acked(10)


async def post(t: Trial, command: Command) -> tuple[int, dict[str, Any]]:
    """Send a command once and return the response."""
    async with t.load.http.request(
        command.method,
        t.stack.publisher_url + command.path,
        json=command.body,
        headers={"Idempotency-Key": command.key},
    ) as answer:
        return answer.status, await answer.json(content_type=None)


async def other_body(t: Trial) -> None:
    """Send another body with the same key: it is rejected, and the first effect stays."""
    ack = await t.load.send(t.load.record(t.load.hot[0]))
    if ack is None:
        raise InconclusiveError("the first command was refused")
    other = replace(ack.command, body={**ack.command.body, "cost": "1.23"})
    for _ in range(5):
        status, body = await post(t, other)
        t.expect(status == 422, f"I2: the key with another body: {status} {body}")
    t.stage("key with another body", "5 times")
    t.expect((await post(t, ack.command))[1] == ack.body, "I2: the first effect was touched")


async def same_key_at_once(t: Trial) -> None:
    """Send the same command fifty times at once: one succeeds; the others get its result or "in
    progress".
    """
    command = t.load.record(t.load.hot[1])
    counted = asyncio.create_task(t.load.send(command))
    answers = await asyncio.gather(*(post(t, command) for _ in range(50)))
    await counted
    taken = [body for status, body in answers if status in (200, 201)]
    t.stage("same key at once", f"50 times: {sorted({status for status, _ in answers})}")
    t.expect(taken and all(body == taken[0] for body in taken), f"I2: {len(taken)} answers differ")
    t.expect({status for status, _ in answers} <= {200, 201, 409, 503}, f"I12: {answers[0]}")
    rows = await t.one("SELECT count(*) FROM writer.repair WHERE source_ref = $1", command.key)
    t.expect(rows == 1, f"I2: {rows} repairs of one command")


async def month_edges(t: Trial) -> None:
    """Record repairs around every edge of a month: each counts in its month in the portal's zone."""
    customer = t.load.hot[2]
    commands = [t.load.record(customer, repair_date=date) for date in EDGES]
    acks = await asyncio.gather(*(t.load.send(command) for command in commands))
    t.stage("edges", f"{sum(ack is not None for ack in acks)} dates")
    t.expect(all(acks), f"a date was refused: {t.load.acks.refused}")


async def moved_between_fleets(t: Trial) -> None:
    """Move repairs between customers during reads: in the end each counts once, for the right
    customer.
    """
    await t.load.drain(30)  # other traffic would change or remove these repairs meanwhile
    one, other = t.load.hot[3:5]
    made = await asyncio.gather(*(t.load.send(t.load.record(one)) for _ in range(10)))
    for there, back in ((other, one), (one, other)):
        moved = await asyncio.gather(
            *(t.load.send(t.load.move(ack.body, there)) for ack in made if ack is not None)
        )
        t.expect(all(moved), f"a move from {back} was refused")
        t.stage("moved", f"{sum(ack is not None for ack in moved)} repairs from {back} to {there}")
        made = list(moved)
    t.load.start()
    await t.acked(10)


SCENARIOS = [
    Scenario("answer lost", "3", answer_lost),
    Scenario("key with another body", "4", other_body),
    Scenario("same key at once", "5", same_key_at_once),
    Scenario("edges of months", "50", month_edges),
    Scenario("moved between fleets", "53", moved_between_fleets),
]
