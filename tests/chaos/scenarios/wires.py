"""Links between two processes: silent in one direction (row 46), slow (47), and flooded by a
hostile caller (52).
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import time
from typing import TYPE_CHECKING

import aiohttp
from tests.chaos.proxy import BOTH
from tests.chaos.scenarios.caches import good_reads
from tests.chaos.system import every_link, link_name
from tests.chaos.trial import InconclusiveError, Scenario, Trial
from tests.chaos.visits import TOKEN, visiting

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SLOW_SECONDS = 0.1
LORIS = 150
# The links behind a waiting caller, and the longest deadline.
ASKED = (
    "browser>gateway", "gateway>postgres", "gateway>query", "query>documents", "query>postgres", "publisher>writer",
    "writer>postgres",
)  # fmt: skip
PROMISED_SECONDS = 10.0
#: Each link is used within this time, in one direction or both.
USED_SECONDS = 4.0


def silent(*processes: str) -> Callable[[Trial], Awaitable[None]]:
    """Return a scenario that silences each link of these processes, in one direction and then the
    other.
    """

    async def run(t: Trial) -> None:
        wires = [link_name(*pair) for pair in every_link() if pair[0] in processes]
        async with visiting(t) as visits:
            for wire in wires:
                for direction in BOTH:
                    await _silence(t, wire, direction)
                await good_reads(t, 3)
        t.evidence.append(f"visits meanwhile: {dict(visits)}")
        silenced = {name.partition(" silent")[0] for name in t.staged}
        if silenced != set(wires):
            raise InconclusiveError(f"nothing was held back on {set(wires) - silenced}")

    return run


async def _silence(t: Trial, wire: str, direction: str) -> None:
    before = t.links.seen([wire])[f"held {direction}"]
    t.links.blackhole([wire], (direction,))
    held = 0
    end = time.monotonic() + USED_SECONDS
    while not held and time.monotonic() < end:
        await asyncio.sleep(0.05)
        held = t.links.seen([wire])[f"held {direction}"] - before
    await t.hold(2.5)
    t.links.flow([wire])
    if held:
        t.stage(f"{wire} silent {direction}", f"{held} held back")
    else:
        t.evidence.append(f"{wire}: nothing was {direction} in that time")


async def slow(t: Trial) -> None:
    """Delay all links by 100 ms in each direction: slower, without other effects."""
    names = [name for name in t.links.matching() if not name.endswith(">kafka")]
    t.links.delay(names, SLOW_SECONDS)
    before = len(t.readers.reads)
    await good_reads(t, 30, 60)
    await t.acked(30, 60)
    await t.hold(3)
    took = sorted(read.took for read in t.readers.reads[before:] if read.status == 200)
    t.stage("delay", f"{t.links.seen(names)['delayed']} chunks by {SLOW_SECONDS} s")
    t.evidence.append(f"reads took {took[len(took) // 2]:.2f} s, the slowest {took[-1]:.2f} s")
    t.links.flow(names)


async def each_slow(t: Trial) -> None:
    """Delay one link after another by 200 ms in each direction, and record the cost of each."""
    for name in ASKED:
        t.links.delay([name], SLOW_SECONDS)
        reads, acks, delayed = len(t.readers.reads), len(t.load.acks.done), _delayed(t, name)
        await good_reads(t, 8, 60)
        await t.acked(8, 60)
        t.links.flow([name])
        if _delayed(t, name) == delayed:
            t.evidence.append(f"{name}: nobody came by")
            continue
        took = sorted(read.took for read in t.readers.reads[reads:] if read.status > 0)
        answered = sorted(
            ack.answered - ack.invoked for ack in t.load.acks.done[acks:] if ack.tries == 1
        )
        slowest = max([*took[-1:], *answered[-1:]])
        t.stage(
            f"delay {name}",
            f"reads {took[len(took) // 2]:.2f} s, p99 {took[-1]:.2f} s; commands p99 {answered[-1] if answered else 0:.2f} s",
        )
        t.expect(slowest < PROMISED_SECONDS, f"I12: {name} slow: {slowest:.1f} s for one answer")


def _delayed(t: Trial, name: str) -> int:
    return t.links.seen([name])["delayed"]


async def hostile(t: Trial) -> None:
    """Send huge bodies, huge headers, silent connections: rejected, while reads of others continue."""
    at = t.stack.browser_url
    cookie = {
        "Cookie": f"sessionid={t.readers.browsers[0].cookie}; csrftoken={TOKEN}",
        "X-CSRFToken": TOKEN,
        "Origin": at,
    }
    begun = len(t.readers.reads)
    async with contextlib.AsyncExitStack() as stack:
        await _say_nothing(t, stack)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        body = io.BytesIO(b"x" * 10_000_000)
        large = await _status(
            http, "POST", f"{at}/customer/api/repairs/", data=body, headers=cookie
        )
        t.expect(large in {400, 413, 0}, f"I12: ten megabytes are answered {large}")
        head = {**cookie, "X-Padding": "x" * 70_000}
        wide = await _status(http, "GET", f"{at}/customer/api/unit-repair-data/", headers=head)
        t.expect(wide in {400, 413, 431, 0}, f"I12: a header of 70 kB is answered {wide}")
        t.stage("hostile requests", f"10 MB {large}, 70 kB of header {wide}")
        await good_reads(t, 25)
    took = sorted(read.took for read in t.readers.reads[begun:] if read.status == 200)
    t.evidence.append(f"others' reads meanwhile: {took[len(took) // 2]:.2f} s, {took[-1]:.2f} s")


async def _say_nothing(t: Trial, stack: contextlib.AsyncExitStack) -> None:
    port = t.stack.system.ports[link_name("browser", "gateway")]
    for _ in range(LORIS):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /customer/ HTTP/1.1\r\nHost: localhost\r\nX-")
        stack.callback(writer.close)
    t.stage("connections that say nothing", f"{LORIS}")


async def _status(http: aiohttp.ClientSession, method: str, url: str, **sent: object) -> int:
    """Return the status of one request, 0 when the connection was closed instead."""
    try:
        async with http.request(method, url, allow_redirects=False, **sent) as answer:  # type: ignore[arg-type]
            return answer.status
    except (aiohttp.ClientError, OSError):
        return 0


SCENARIOS = [
    Scenario("silent wires of the pipe", "46", silent("writer", "relay")),
    Scenario("silent wires of a projector", "46", silent("projector-1")),
    Scenario("silent wires of the readers", "46", silent("query", "gateway")),
    Scenario("slow wires", "47", slow),
    Scenario("one slow wire", "47", each_slow),
    Scenario("hostile caller", "52", hostile),
]
