"""Process death between two lines of code (rows 1, 2, 6, 7, 11, 12, 13), and of all at once (35)."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from tests.chaos import topic
from tests.chaos.scenarios.caches import good_reads
from tests.chaos.trial import InconclusiveError, Scenario, Trial
from tests.oracle import hops

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

OURS = ("writer", "relay", "projector-1", "projector-2", "query", "gateway")


async def projector_before_commit(t: Trial) -> None:
    """Kill a projector before its commit: the offsets are not committed either."""
    await t.fire("projector.before_db_commit")
    await t.offsets_are_behind()
    await t.agree_again("kill -9")
    await t.acked(20)


def dies_at(point: str) -> Callable[[Trial], Awaitable[None]]:
    """Return a scenario that kills the next process at a failpoint."""

    async def run(t: Trial) -> None:
        await t.fire(point)
        await t.agree_again("kill -9")
        await t.acked(20)

    return run


async def writer_before_commit(t: Trial) -> None:
    """Kill the writer before its commit: the command leaves no trace until it is repeated."""
    await t.load.drain(30)
    customer = t.load.hot[0]
    before = await t.one("SELECT revision FROM writer.customer WHERE customer_id = $1", customer)
    command = t.load.record(customer)
    await t.fire_by(t.load.send(command), "writer.before_commit")
    after = await t.one("SELECT revision FROM writer.customer WHERE customer_id = $1", customer)
    t.expect(after == before + 1, f"I2: one command moved {before} to {after}")
    await t.agree_again("kill -9")
    t.load.start()
    await t.acked(20)


async def writer_after_commit(t: Trial) -> None:
    """Kill the writer after its commit: a repetition gets the stored response; there is one effect."""
    await t.load.drain(30)
    customer = t.load.hot[0]
    before = await t.one("SELECT revision FROM writer.customer WHERE customer_id = $1", customer)
    # Only its key can tell the second from the first: no reference of the publisher's own.
    command = t.load.record(customer, source_ref=None)
    ack = await t.fire_by(t.load.send(command), "writer.after_commit")
    after = await t.one("SELECT revision FROM writer.customer WHERE customer_id = $1", customer)
    t.expect(after == before + 1, f"I2: one command moved {before} to {after}")
    t.expect(ack is not None and ack.tries > 1, "I2: the command was not sent again")
    await t.agree_again("kill -9")
    t.load.start()
    await t.acked(20)


async def redis_is_refreshed(t: Trial) -> None:
    """Kill a projector after its commit: the successor applies nothing and publishes the counts."""
    await t.load.drain(30)
    await t.applied()
    await t.readers.stop()  # a read of the newest revision would refill Redis
    customer = t.load.hot[0]
    await t.fire_by(t.load.send(t.load.record(customer)), "projector.after_db_commit")
    await t.until(lambda: topic.all_read(t.places), "the event is read again", 90)
    held = await hops.documents(t.places.redis, [customer])
    if not held:
        raise InconclusiveError("the old document has expired meanwhile")
    shown, newest = int(held[customer][b"revision"]), t.load.acks.latest[customer]
    t.expect(shown == newest, f"I4: Redis was not told again: it holds {shown}, not {newest}")
    await t.agree_again("kill -9")
    t.readers.start()
    t.load.start()
    await t.acked(10)


async def everything_at_once(t: Trial) -> None:
    """Kill every process of ours and PostgreSQL at once: no acknowledged change is lost."""
    pids = t.stack.pids(*OURS, "postgres")
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    t.struck = time.monotonic()
    gone = lambda: not set(t.stack.pids(*pids).items()) & set(pids.items())  # noqa: E731
    await t.until(gone, "all are gone", 60)
    t.stage("SIGKILL everything", f"{len(pids)} processes are gone")
    await t.database_is_back()
    await t.agree_again("kill -9")
    modes = await t.sql("SELECT current_setting('synchronous_commit') AS mode")
    t.expect(modes[0]["mode"] == "on", f"I1: synchronous_commit is {modes[0]['mode']}")
    await t.acked(20)


async def readers_die(t: Trial) -> None:
    """Kill the reading processes one after another: each returns, and reads continue."""
    for name in ("query", "gateway"):
        await t.kill(name)
        await good_reads(t, 5)
        await t.agree_again("kill -9")


SCENARIOS = [
    Scenario("writer dies before commit", "1", writer_before_commit),
    Scenario("writer dies after commit", "2", writer_after_commit),
    Scenario("relay dies mid-send", "6", dies_at("relay.mid_send")),
    Scenario("relay dies before mark", "7", dies_at("relay.before_mark")),
    Scenario("projector dies before commit", "11", projector_before_commit),
    Scenario("projector dies after commit", "12", redis_is_refreshed),
    Scenario("projector dies before redis", "13", dies_at("projector.before_redis")),
    Scenario("projector dies before offsets", "13", dies_at("projector.before_commit")),
    Scenario("query and gateway die", "35", readers_die, may_break=True),
    Scenario("everything dies", "35", everything_at_once, may_break=True),
]
