"""Run benchmarks of the running system, as `./dev bench` does.

`python -m bench [name ...] [--long] [--seconds N]`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvloop
from deploy.demo.fleets import MIDLAND

from bench import (
    catchup,
    commands,
    endpoints,
    event_loop,
    growth,
    imports,
    latency,
    lists,
    machine,
    memory,
    refold,
    streams,
)
from bench.running import STATE, System

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bench.figures import Figure

LONG_HISTORY = 1_000_000
USUAL_HISTORY = 100_000
LISTED = 100_000
#: Scenarios that start their own servers.
WITHOUT_SYSTEM = {"event-loop"}
NO_SYSTEM = System("", "", "", "", "", "", {}, "", "")


@dataclass(frozen=True)
class Sizes:
    """Sizes of the scenarios."""

    seconds: float
    lines: int
    history: int
    events: int


async def _memory() -> list[Figure]:
    return memory.run()


def scenarios(system: System, sizes: Sizes) -> dict[str, Callable[[], Awaitable[list[Figure]]]]:
    """Return every scenario by name, ordered so that they disturb each other least."""
    return {
        "memory": _memory,
        "event-loop": event_loop.run,
        "endpoints": lambda: endpoints.run(
            system, seconds=sizes.seconds, customer_id=MIDLAND.customer_id
        ),
        "latency": lambda: latency.run(system, seconds=sizes.seconds * 2),
        "streams": lambda: streams.run(system, seconds=sizes.seconds * 2),
        "lists": lambda: lists.run(system, repairs=LISTED),
        "commands": lambda: commands.run(system, seconds=sizes.seconds),
        "imports": lambda: imports.run(system, lines=sizes.lines),
        "growth": lambda: growth.run(system, seconds=sizes.seconds, long=sizes.history),
        "refold": lambda: refold.run(system, events=sizes.history),
        "catchup": lambda: catchup.run(events=sizes.events),
    }


async def measure(names: list[str], sizes: Sizes) -> list[Figure]:
    """Run the scenarios one after another and print each figure at once."""
    needs_system = not names or set(names) - WITHOUT_SYSTEM
    every = scenarios(System.found() if needs_system else NO_SYSTEM, sizes)
    figures: list[Figure] = []
    for name in names or list(every):
        begun = time.monotonic()
        found = await every[name]()
        print(f"\n{name} ({time.monotonic() - begun:.0f} s)")
        for figure in found:
            print("  " + figure.line(), flush=True)
        figures += found
    return figures


def main() -> None:
    """Read the arguments, measure, print, and save the report as JSON."""
    names = list(scenarios(NO_SYSTEM, Sizes(0, 0, 0, 0)))
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(names))
    parser.add_argument("--long", action="store_true", help="the design's sizes: a million repairs")
    parser.add_argument("--seconds", type=float, default=8, help="per measurement")
    given = parser.parse_args()
    if unknown := set(given.names) - set(names):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    sizes = Sizes(
        given.seconds,
        lines=200_000 if given.long else 60_000,
        history=LONG_HISTORY if given.long else USUAL_HISTORY,
        events=1_000_000 if given.long else 200_000,
    )
    facts = machine.facts()
    print(machine.line(facts))
    print(
        "What is measured stays in the system (customers from 900000 on); ./dev reset forgets it."
    )
    if not given.long:
        print(
            f"Short run: {sizes.history} repairs instead of a million, {sizes.events} events; --long for all."
        )
    figures = uvloop.run(measure(given.names, sizes))
    report = {
        "machine": facts,
        "long": given.long,
        "figures": [figure.as_json() for figure in figures],
    }
    (STATE / "bench.json").write_text(json.dumps(report, indent=1) + "\n")
    short = [figure.name for figure in figures if figure.verdict == "SHORT"]
    print(
        f"\nreport: {STATE.name}/bench.json"
        + (f"; short of the target: {', '.join(short)}" if short else "")
    )
    sys.exit(1 if short else 0)


if __name__ == "__main__":
    main()
