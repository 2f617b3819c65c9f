"""Break the whole system on purpose and check every number: `./dev chaos`.

Without options it runs the directed scenarios.
`--minutes M` continues with rounds of random faults for so long.
`--only NAME` runs the scenarios whose names contain it; `--plan FILE` repeats the plan of an
earlier run.
`--planted` tests the harness itself: it plants each bug of `planted/` into a copy of the tree.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path
from random import SystemRandom
from typing import Any

from deploy.local import control, say
from tests.chaos import catalogue, faults, gate, memory, plan, report, soak, system
from tests.chaos.trial import Scenario
from tests.chaos.verdict import NOT_STAGED, Result, conduct

ROUND_SECONDS = 60.0
LONG_HOLD = 6.0
#: As long as the faults of a round.
SOAK_LOAD_SECONDS = 45.0
ROOT = Path(__file__).resolve().parents[2]


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser(prog="./dev chaos", description=__doc__)
    found.add_argument("--seed", type=int, default=None, help="a run's seed; any by default")
    found.add_argument("--minutes", type=float, default=0.0, help="random faults for so long")
    found.add_argument(
        "--overload", action="store_true", help="with --minutes: at twice the capacity, pauses only"
    )
    found.add_argument("--only", default="", help="the scenarios with this in their names")
    found.add_argument("--plan", type=Path, help="a plan that an earlier run wrote")
    found.add_argument("--hold", type=float, default=1.0, help="how much longer faults last (1)")
    found.add_argument(
        "--slack", type=float, default=1.0, help="a slow machine may take this many times as long"
    )
    found.add_argument("--long", action="store_true", help="faults last as long as in the field")
    found.add_argument("--keep-going", action="store_true", help="after a violation too")
    found.add_argument("--planted", action="store_true", help="plant bugs, each to be caught")
    found.add_argument("--list", action="store_true", help="name the scenarios and end")
    return found


def planned(arguments: argparse.Namespace) -> plan.Plan:
    """Return the plan that the command line names."""
    if arguments.plan:
        return plan.Plan.load(arguments.plan)
    seed = SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    if arguments.minutes:
        rounds = max(1, round(arguments.minutes * 60 / ROUND_SECONDS))
        if arguments.overload:
            load = plan.Step(0.0, "overloaded", {"times": 2.0, "seconds": SOAK_LOAD_SECONDS})
            return plan.random(seed, rounds, faults.STALLS, first=[load])
        return plan.random(seed, rounds, faults.CHOICES)
    return plan.directed(seed, [s.name for s in catalogue.SCENARIOS if arguments.only in s.name])


def scenarios(found: plan.Plan) -> list[Scenario]:
    """Return the scenarios of a plan. Raises KeyError for an unknown scenario."""
    rounds = [faults.round_of(number, steps) for number, steps in enumerate(found.rounds, 1)]
    return [*(catalogue.BY_NAME[name] for name in found.directed), *rounds]


async def run(
    found: plan.Plan, folder: Path, asked: argparse.Namespace
) -> tuple[list[Result], dict[str, Any]]:
    """Run a plan and print a line for each result.

    Stop at the first broken invariant: it would also explain later failures.
    Return the results, and the figures of the soak after random rounds.
    """
    results: list[Result] = []
    with system.started() as stack:
        began = time.monotonic()
        async with memory.watched(stack.system.place) as watching:
            await _play(stack, found, folder, asked, results)
        restarts = {p["name"]: p["restarts"] for p in control.processes(stack.system.place)}
        took = time.monotonic() - began
    figures = soak.summary(results, watching.lives(), restarts, took) if found.rounds else {}
    return results, figures


async def _play(
    stack: system.ChaosStack,
    found: plan.Plan,
    folder: Path,
    asked: argparse.Namespace,
    results: list[Result],
) -> None:
    until = time.monotonic() + (asked.minutes * 60 or float("inf"))
    hold = LONG_HOLD if asked.long else asked.hold
    say.line(report.head())
    for number, scenario in enumerate(scenarios(found)):
        if found.rounds and time.monotonic() > until:
            break
        trial = folder / f"{number:03d}-{scenario.name.replace(' ', '-')}"
        result = await conduct(stack, scenario, found.seed, trial, hold=hold, slack=asked.slack)
        results.append(result)
        say.line(report.line(result))
        for text in report.loads([result]):
            say.line(f"    {text}")
        for violation in result.violations[:5]:
            say.line(f"    {violation}")
        if result.verdict == "VIOLATION" and not asked.keep_going:
            break


def main() -> int:
    """Run the command line; return 0 when every scenario was staged and no invariant was broken."""
    arguments = parser().parse_args()
    if arguments.list:
        for scenario in catalogue.SCENARIOS:
            say.line(f"{scenario.row:>8}  {scenario.name}")
        for row, place in catalogue.ELSEWHERE.items():
            say.line(f"{row:>8}  {place}")
        return 0
    if arguments.planted:
        return gate.run(arguments.only)
    found = planned(arguments)
    if not found.directed and not found.rounds:
        say.line(f"no scenario is called {arguments.only}; --list names them")
        return 2
    say.line(found.show())
    folder = ROOT / ".run" / "chaos" / f"{time.strftime('%Y%m%d-%H%M%S')}-{found.seed}"
    folder.mkdir(parents=True)
    found.save(folder / "plan.json")
    results, figures = asyncio.run(run(found, folder, arguments))
    report.save(folder / "report.json", found.seed, results, figures)
    say.line(report.total(results, arguments.slack))
    for text in soak.lines(figures):
        say.line(text)
    say.line(f"seed {found.seed}; plan, acks, reads and report: {folder.relative_to(ROOT)}")
    sound = all(result.verdict in {"ok", NOT_STAGED} for result in results) and not figures.get(
        "violations"
    )
    return 0 if results and sound else 1


if __name__ == "__main__":
    sys.exit(main())
