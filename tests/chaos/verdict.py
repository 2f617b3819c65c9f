"""Conduct of a trial from its first command to its verdict: every invariant, each hop against the
previous.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deploy.local import control
from tests.chaos import check
from tests.chaos.load import UnansweredError
from tests.chaos.measured import Measured
from tests.chaos.trial import HEAL_SECONDS, InconclusiveError, NotStagedError, Scenario, Trial
from tests.oracle.compare import agree
from tests.oracle.settle import PATHS, settled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.chaos.system import ChaosStack

DRAIN_SECONDS = 60.0
QUIET_ACKS = 15
# A fault beyond this machine's abilities: neither a failure nor a pass.
NOT_STAGED = "NOT STAGED"


@dataclass
class Result:
    """Result of a trial."""

    name: str
    row: str
    verdict: str = "ok"
    staged: dict[str, int] = field(default_factory=dict)
    evidence: list[str] = field(default_factory=list)
    acked: int = 0
    retried: int = 0
    reads: int = 0
    unavailable: int = 0
    #: 503 responses by list; broken connections by their kind.
    failed: dict[str, int] = field(default_factory=dict)
    #: Stated ages of responses: with a lag, without one, and those that lacked a change.
    ages: dict[str, int] = field(default_factory=dict)
    converged_seconds: float = 0.0
    recovered: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    #: Time spent, in seconds.
    spent: dict[str, float] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)


async def conduct(
    stack: ChaosStack,
    scenario: Scenario,
    seed: int,
    folder: Path,
    *,
    hold: float = 1.0,
    slack: float = 1.0,
) -> Result:
    """Run one scenario to its verdict: ok, VIOLATION, INCONCLUSIVE or NOT STAGED.

    Faults last `hold` times as long, and limits `slack` times as long (a shared machine).
    A failure in the harness itself is inconclusive: it proves nothing.
    """
    result, began = Result(scenario.name, scenario.row), time.monotonic()
    trial = Trial(stack, scenario, seed, folder, hold=hold, slack=slack)
    try:
        with _clock(result, "begin"):
            await _begin(trial)
        with _clock(result, "fault"):
            await scenario.run(trial)
        await _finish(trial, result)
        if not trial.staged:
            _shows_nothing(result, "nothing was staged")
    except UnansweredError as late:
        trial.broken.append(f"I12: {late}")
    except AssertionError as late:
        trial.broken.append(f"I4: {late}"[:800])
    except NotStagedError as why:
        result.verdict = NOT_STAGED
        trial.evidence.append(f"not staged: {why}")
    except InconclusiveError as why:
        _shows_nothing(result, str(why))
    except Exception as error:  # noqa: BLE001 - the next scenario may still show something
        _shows_nothing(result, f"the harness failed: {error!r}")
    finally:
        with _clock(result, "close"):
            await trial.close()
    if control.supervisor(stack.system.place) is None:
        trial.broken.clear()
        _shows_nothing(result, "somebody else has ended the system")
    _count(result, trial)
    result.seconds = time.monotonic() - began
    if result.verdict in {"VIOLATION", "INCONCLUSIVE"}:
        _keep_traces(stack, result, folder / "logs")
    return result


def _keep_traces(stack: ChaosStack, result: Result, folder: Path) -> None:
    """Save evidence of the cause: the number of ends of each process, and its log until now."""
    for found in control.processes(stack.system.place):
        ended = f"ended {found['restarts']} times, last with {found['last_exit']}"
        result.evidence.append(f"{found['name']} is {found['state']}, {ended}")
    shutil.copytree(stack.system.place.logs, folder, dirs_exist_ok=True)


@contextmanager
def _clock(result: Result, what: str) -> Iterator[None]:
    began = time.monotonic()
    try:
        yield
    finally:
        result.spent[what] = round(time.monotonic() - began, 2)


def _shows_nothing(result: Result, why: str) -> None:
    result.verdict = "INCONCLUSIVE"
    result.violations.append(why)


async def _begin(t: Trial) -> None:
    """Create customers, sessions and traffic."""
    await t.use_links(direct=t.scenario.direct)
    await t.load.found()
    await t.readers.sign_in(t.databases["gateway"], t.load.hot)
    t.readers.start()
    t.load.start()
    await t.acked(QUIET_ACKS)


async def _finish(t: Trial, result: Result) -> None:
    """Heal, wait for all responses and for agreement, and check every invariant."""
    with _clock(result, "heal"):
        await t.ready()
    with _clock(result, "drain"):
        await t.load.drain(DRAIN_SECONDS)
    try:
        with _clock(result, "converge"):
            await t.applied()
            await settled(t.places, t.load.customers, HEAL_SECONDS)
        with _clock(result, "compare"):
            folds = await agree(t.places, t.load.customers, topic=t.scenario.topic_whole)
            await _answers(t, folds)
    except AssertionError as broken:
        t.broken.append(f"I4: {broken}"[:800])
    result.converged_seconds = result.spent["converge"]
    with _clock(result, "laws"):
        await t.readers.stop()
        await laws(t)


async def _answers(t: Trial, folds: dict[int, Any]) -> None:
    """Read over HTTP the values on which all other hops agree; the invariants judge them."""
    for browser in t.readers.browsers[::2]:
        folded = folds[browser.customer]
        for view in PATHS:
            read = await t.readers.read(browser, view, own=True)
            found = (read.status, read.revision)
            t.expect(
                found == (200, folded.revision), f"I4: HTTP {view}, {browser.customer}: {read}"
            )


async def laws(t: Trial) -> None:
    """Check all acknowledgements and reads so far."""
    events = await check.lists(t.databases["writer"], t.load.customers)
    t.broken += check.commands(events, t.load.acks)
    t.broken += await check.sums(t.databases["portal"], t.load.customers)
    t.broken += check.reads(
        t.readers.reads,
        events,
        t.places.time_zone,
        acked=t.load.acks.moments,
        may_break=t.scenario.may_break,
    )


def _count(result: Result, trial: Trial) -> None:
    done = trial.load.acks.done
    result.violations += trial.broken
    if trial.broken:
        result.verdict = "VIOLATION"
    result.staged, result.evidence = dict(trial.staged), trial.evidence
    result.recovered = trial.recovered
    result.measured = trial.measured
    result.acked = len(done)
    result.retried = sum(ack.tries > 1 for ack in done)
    result.reads = sum(read.status == 200 for read in trial.readers.reads)
    result.unavailable = len(trial.readers.reads) - result.reads
    result.failed = dict(
        Counter(
            f"{read.view} {read.status if read.status > 0 else 'broken'}"
            for read in trial.readers.reads
            if read.status != 200
        )
    )
    result.ages = check.ages(trial.readers.reads, trial.load.acks.moments)
