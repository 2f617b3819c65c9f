"""Degradation matrix: one part of a running system is unavailable, slow or silent, and how to stage
it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.chaos import offered
from tests.chaos.scenarios import clocks
from tests.chaos.targets import targets_of
from tests.oracle.settle import eventually
from tests.system.callers import COLUMNS, CUSTOMER, NOBODY, OK, OTHER, SAYS_SO, Callers, Told

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.chaos.offered import Answered
    from tests.chaos.system import ChaosStack

MODES = ("away", "slow", "silent")
SLOW_SECONDS = 0.05
FLOOD_SECONDS, FLOOD_TIMES = 3.0, 4
SPELL_SECONDS = 1.5
HEAL_SECONDS = 60.0
FELT_SECONDS = 15.0
# A gateway's token is valid at services whose clocks differ by at most five seconds.
CLOCKS = {"gateway": "+3s", "writer": "-1s", "query": "+1s"}

FIGURES = ("counts", "counts that Redis lacks", "dashboard")
PORTAL = ("login", *FIGURES, "customer's command")
PROJECTORS = ("projector-1", "projector-2")


@dataclass(frozen=True)
class Row:
    """A part that fails: the links to it, or its processes."""

    name: str
    #: The first is the link that must show the fault.
    links: tuple[str, ...] = ()
    processes: tuple[str, ...] = ()
    #: Expected outcome by column while the part is unavailable or silent; others succeed.
    lost: Mapping[str, str] = field(default_factory=dict)
    #: Whether changes reach no reader meanwhile, so that responses must state the age of their
    #: figures.
    stale: bool = False

    def expected(self, column: str, mode: str) -> str:
        """Return the expected outcome of a caller. A slow part only costs time."""
        return OK if mode == "slow" else self.lost.get(column, OK)


ROWS = (
    Row("Redis documents", tuple(f"{name}>documents" for name in ("query", *PROJECTORS))),
    Row("Redis limits", ("gateway>limits",)),
    Row(
        "Postgres of the read model",
        tuple(f"{name}>postgres" for name in ("query", *PROJECTORS)),
        lost={"counts that Redis lacks": SAYS_SO},
        stale=True,
    ),
    Row(
        "Postgres of the writer",
        ("writer>postgres", "relay>postgres"),
        lost=dict.fromkeys(("command", "customer's command"), SAYS_SO),
    ),
    Row("Postgres of the gateway", ("gateway>postgres",), lost=dict.fromkeys(PORTAL, SAYS_SO)),
    Row("Kafka", tuple(f"{name}>kafka" for name in ("relay", *PROJECTORS)), stale=True),
    Row("projector", processes=PROJECTORS, stale=True),
    Row("relay", processes=("relay",), stale=True),
    Row("query", ("gateway>query",), lost=dict.fromkeys(FIGURES, SAYS_SO)),
    Row(
        "writer",
        ("publisher>writer", "gateway>writer", "projector-1>writer", "projector-2>writer"),
        lost={"command": NOBODY, "customer's command": SAYS_SO},
    ),
    Row("gateway", ("browser>gateway",), lost=dict.fromkeys(PORTAL, NOBODY)),
)


@dataclass
class Spell:
    """Record of one part's failure in one mode."""

    told: dict[str, list[Told]]
    #: Faults on the first link of the part, or on its processes: the proof of the failure.
    felt: Counter[str] = field(default_factory=Counter)
    #: Connections that came in on the broken links, from how many processes, in how many seconds.
    taken: int = 0
    links: int = 0
    seconds: float = 0.0
    #: The last acknowledged change of the time (revision, moment), and a read after it.
    acked: tuple[int, float] | None = None
    read: Told | None = None
    healed_seconds: float = 0.0
    #: Processes that ended meanwhile, although the harness did not stop them.
    ended: list[str] = field(default_factory=list)


async def spell(stack: ChaosStack, sessions: list[str], row: Row, mode: str) -> Spell:
    """Break a part, send all requests until the fault shows, heal it, and wait for full recovery.

    Raises AssertionError when the fault does not show, or recovery takes too long.
    """
    found = Spell({column: [] for column in COLUMNS})
    links, pids = _links(stack, row, mode), stack.pids()
    async with Callers(stack, sessions) as callers:
        if mode == "away" and links:
            # First refused, then accepted and ended at once, which counts the attempts of each
            # process.
            stack.links.refuse(links)
            await _ask(callers, row, mode, found)
        began, taken = time.monotonic(), stack.links.taken(links)
        found.felt = await _break_until_felt(stack, callers, row, mode, found)
        if row.stale and mode != "slow":
            await asyncio.sleep(SPELL_SECONDS)
            found.acked, found.read = callers.acked, await callers.counts()
    found.seconds = time.monotonic() - began
    found.taken, found.links = stack.links.taken(links) - taken, len(links)
    await _mend(stack, row, mode)
    await _healed(stack, sessions, found)
    held = row.processes if mode == "away" else ()
    now = stack.pids()
    found.ended = [name for name, pid in pids.items() if now.get(name) != pid and name not in held]
    return found


def _links(stack: ChaosStack, row: Row, mode: str) -> list[str]:
    """Return the links to break: those that lead to the part, or all of a slow process."""
    if mode == "slow" and row.processes:
        return [name for name in stack.links.matching() if name.partition(">")[0] in row.processes]
    return list(row.links)


async def _break_until_felt(
    stack: ChaosStack, callers: Callers, row: Row, mode: str, found: Spell
) -> Counter[str]:
    """Break the part and send all requests until the fault shows; return its evidence."""
    links = _links(stack, row, mode)
    seen, began = stack.links.seen(links[:1]), time.monotonic()
    felt = await _break(stack, row, mode, links)
    while True:
        await _ask(callers, row, mode, found)
        felt = felt or stack.links.seen(links[:1]) - seen
        if felt:
            return felt
        assert time.monotonic() < began + FELT_SECONDS, f"{row.name} {mode}: nobody felt it"
        await asyncio.sleep(1)


async def _break(stack: ChaosStack, row: Row, mode: str, links: list[str]) -> Counter[str]:
    """Break the part; return the faults on its processes."""
    if mode == "slow":
        stack.links.delay(links, SLOW_SECONDS)
    elif links:
        (stack.links.slam if mode == "away" else stack.links.blackhole)(links)
    elif mode == "away":
        await asyncio.to_thread(stack.hold, *row.processes)
        return Counter({"held": len(row.processes)})
    else:
        pids = stack.pids(*row.processes).values()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        return Counter({"stopped": len(pids)})
    return Counter()


async def _ask(callers: Callers, row: Row, mode: str, found: Spell) -> None:
    hopeless = [column for column in COLUMNS if row.expected(column, mode) == NOBODY]
    for column, told in (await callers.everybody(hopeless)).items():
        found.told[column].append(told)


async def _mend(stack: ChaosStack, row: Row, mode: str) -> None:
    stack.links.flow()
    if row.processes and mode == "silent":
        for pid in stack.pids(*row.processes).values():
            os.kill(pid, signal.SIGCONT)
    elif row.processes and mode == "away":
        stack.want()


async def _healed(stack: ChaosStack, sessions: list[str], found: Spell) -> None:
    began = time.monotonic()
    await _all_well_again(stack, sessions)
    found.healed_seconds = time.monotonic() - began


async def _all_well_again(stack: ChaosStack, sessions: list[str]) -> None:
    """Wait until all callers succeed, readers see the last change, and the system is ready."""
    async with Callers(stack, sessions) as callers:
        await eventually(callers.all_well, "everybody is served", HEAL_SECONDS)
        revision = callers.acked[0] if callers.acked else 0

        async def up_to_date() -> bool:
            return (await callers.counts()).revision >= revision

        await eventually(up_to_date, "readers see the last change", HEAL_SECONDS)

        async def ready() -> bool:
            return bool((await asyncio.to_thread(stack.status))["ready"])

        await eventually(ready, "the system is ready", HEAL_SECONDS)


@dataclass
class Flood:
    """Responses while one part was overloaded, and the processes that ended meanwhile."""

    told: dict[str, list[Told]]
    answered: Answered
    ended: list[str]


async def overloaded(stack: ChaosStack, sessions: list[str], part: str) -> Flood:
    """Overload a part four times while all callers send, then wait for full recovery.

    Raises AssertionError when recovery takes too long.
    """
    target = next(
        one
        for one in targets_of(stack, CUSTOMER, sessions[:1], [CUSTOMER, OTHER])
        if one.name == part
    )
    pids = stack.pids()
    peak = await offered.send(target.closed(FLOOD_SECONDS))
    told: dict[str, list[Told]] = {column: [] for column in COLUMNS}
    offer = asyncio.create_task(offered.send(target.open(FLOOD_TIMES * peak.served, FLOOD_SECONDS)))
    async with Callers(stack, sessions) as callers:
        while not offer.done():
            for column, one in (await callers.everybody()).items():
                told[column].append(one)
    await _all_well_again(stack, sessions)
    now = stack.pids()
    return Flood(told, await offer, [name for name, pid in pids.items() if now.get(name) != pid])


async def under_wrong_clocks(
    stack: ChaosStack, sessions: list[str], folder: Path
) -> dict[str, Told]:
    """Shift the clocks of processes within the allowed difference, and send all requests.

    Raises NotStagedError where clocks cannot be shifted.
    """
    for name, offset in CLOCKS.items():
        (folder / name).write_text(f"{offset}\n")
    wrong = {name: clocks.settings(folder / name) for name in CLOCKS}
    try:
        await _anew(stack, sessions, wrong)
        async with Callers(stack, sessions) as callers:
            return await callers.everybody()
    finally:
        await _anew(stack, sessions, {name: {} for name in CLOCKS})


async def _anew(
    stack: ChaosStack, sessions: list[str], settings: Mapping[str, dict[str, str]]
) -> None:
    """Restart processes with these settings in addition to their own."""
    before = stack.pids(*settings).items()
    stack.system.settings.update(settings)
    stack.want()

    async def are_new() -> bool:
        return not before & stack.pids(*settings).items()

    await eventually(are_new, "the processes are new ones", HEAL_SECONDS)
    await _all_well_again(stack, sessions)
