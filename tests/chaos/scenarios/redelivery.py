"""Events arrive again, late, or never (rows 20, 21, 22, 23), and numbers commit out of order (9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos import topic
from tests.chaos.trial import InconclusiveError, Scenario, Trial

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PROJECTORS = ("projector-1", "projector-2")
AGAIN = """
INSERT INTO writer.outbox (customer_id, event_id, payload, accepted_at)
SELECT customer_id, event_id, payload, accepted_at FROM writer.event
WHERE customer_id = ANY($1) AND revision <= $2 ORDER BY customer_id, {order} LIMIT 40 RETURNING id
"""
SLOW_COMMITS = """
CREATE OR REPLACE FUNCTION writer.commit_late() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep(random() * 0.3); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER commit_late AFTER INSERT ON writer.outbox
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION writer.commit_late();
"""


async def standing(t: Trial) -> dict[int, tuple[int, int]]:
    """Return revision and refold of each hot customer in the read model."""
    rows = await t.sql(
        "SELECT customer_id, revision, refold FROM portal.customer WHERE customer_id = ANY($1)",
        t.load.hot,
    )
    return {row["customer_id"]: (row["revision"], row["refold"]) for row in rows}


def told_again(order: str, newest: int) -> Callable[[Trial], Awaitable[None]]:
    """Return a scenario that redelivers old events."""

    async def run(t: Trial) -> None:
        await t.acked(25)
        await t.load.drain(30)
        await t.sent()
        await t.applied()
        before = await standing(t)
        ends = sum((await topic.ends(t.places)).values())
        rows = await t.sql(AGAIN.format(order=order), t.load.hot, newest)
        await t.sent()
        more = sum((await topic.ends(t.places)).values()) - ends
        if not rows or more < len(rows):
            raise InconclusiveError(f"{len(rows)} rows again, {more} records more")
        t.stage("told again", f"{len(rows)} events of old are {more} records more")
        await t.until(lambda: topic.all_read(t.places), "they are read")
        t.expect(await standing(t) == before, f"I2: {before} became {await standing(t)}")
        t.load.start()
        await t.acked(10)

    return run


async def offsets_to_the_beginning(t: Trial) -> None:
    """Reset the group's offsets to the beginning: all events are read again."""
    await t.acked(25)
    await t.load.drain(30)
    await t.applied()
    before = await standing(t)
    await t.down(*PROJECTORS)
    committed = await topic.commit(t.places, dict.fromkeys(range(topic.PARTITIONS), 0))
    t.stage("offsets to earliest", f"committed {sum(committed.values())} is now 0")
    await t.ready()
    await t.until(lambda: topic.all_read(t.places), "the topic is read again", 60)
    t.expect(await standing(t) == before, f"I2: {before} became {await standing(t)}")
    t.load.start()
    await t.acked(10)


async def offsets_to_the_end(t: Trial) -> None:
    """Skip records: a revision gap reveals most; the heads reveal the last ones of a customer."""
    await t.down(*PROJECTORS)
    await t.acked(25)
    await t.load.drain(30)
    await t.sent()
    ends = await topic.ends(t.places)
    committed = await topic.commit(t.places, ends)
    skipped = sum(ends.values()) - sum(committed.values())
    if skipped <= 0:
        raise InconclusiveError("nothing was skipped")
    t.stage("offsets to latest", f"{skipped} records are skipped")
    await t.ready()
    await t.applied()
    t.load.start()
    await t.acked(10)


async def numbers_out_of_order(t: Trial) -> None:
    """Delay commits after their outbox numbers by up to 0.3 s: the relay must not skip any."""
    try:
        for statement in SLOW_COMMITS.split(";\n"):
            if statement.strip():
                await t.sql(statement)
        await t.load.burst(20)
        await t.load.burst(20)
        await t.acked(40)
    finally:
        await t.sql("DROP TRIGGER IF EXISTS commit_late ON writer.outbox")
    late = await t.one(
        # xmin increases as transactions begin to write, outbox ids as they reach it.
        "SELECT count(*) FROM (SELECT accepted_at, lag(accepted_at) OVER (ORDER BY xmin::text::bigint) AS before "
        "FROM writer.event WHERE customer_id = ANY($1)) e WHERE before > accepted_at",
        t.load.customers,
    )
    if not late:
        raise InconclusiveError("no two commits passed each other")
    t.stage("late commits", f"{late} pairs passed each other")


SCENARIOS = [
    Scenario("duplicates", "20", told_again("revision", 10**9)),
    Scenario("old events after newer", "21", told_again("revision DESC", 2)),
    Scenario("offsets to earliest", "22", offsets_to_the_beginning),
    Scenario("offsets to latest", "23", offsets_to_the_end),
    Scenario("numbers commit out of order", "9", numbers_out_of_order),
]
