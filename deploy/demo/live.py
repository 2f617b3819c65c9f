"""Keep repairs happening, one line each, until Ctrl-C: watch the charts of the portal move.

Run as `python -m deploy.demo.live --writer URL --key-file FILE [--rate 1] [--customer 1002]`.
Lives are those of the demo's history, told fast: what takes days there takes seconds here.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import itertools
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import aiohttp
from deploy.demo import glass
from deploy.demo.fleets import FLEETS, Fleet, Unit, units_of
from deploy.demo.lives import SEED, Step, live, stamp
from deploy.demo.writer import Answer, RefusedError, Writer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SOURCE = "rs-live"
# How long a repair of the demo rests between two steps, in steps of all repairs together.
REST = 12.0


@dataclass(order=True)
class Due:
    """The steps of one repair that have not happened yet, and when the next one does."""

    turn: float
    number: int
    fleet: Fleet = field(compare=False)
    steps: list[Step] = field(compare=False)
    repair_id: str = field(default="", compare=False)


class Street:
    """The repairs that are under way: which step happens next, and what comes after it."""

    def __init__(self, fleets: Sequence[Fleet], rng: Random, prefix: str) -> None:
        self._fleets = fleets
        self._units: dict[int, list[Unit]] = {
            fleet.customer_id: units_of(fleet, Random(f"{SEED}:{fleet.customer_id}"))
            for fleet in fleets
        }
        self._rng = rng
        self._prefix = prefix
        self._due: list[Due] = []
        self._numbers = itertools.count(1)

    def next(self, turn: int, now: datetime) -> Due:
        """Return the repair whose turn it is: one under way, or a new one."""
        if self._due and self._due[0].turn <= turn:
            return heapq.heappop(self._due)
        fleet = self._rng.choices(self._fleets, [fleet.repairs**0.3 for fleet in self._fleets])[0]
        unit = self._rng.choice(self._units[fleet.customer_id])
        number = next(self._numbers)
        repair = glass.found(unit.number, 0, now, self._rng) | {"batch_id": None}
        ref = f"{self._prefix}-{number:05d}"
        return Due(turn, number, fleet, live(fleet, ref, repair, self._rng))

    def put_back(self, due: Due, turn: int, *, again: bool = False) -> None:
        """Let a repair rest until its next step, if it has one, or until the same step is tried again."""
        if not again:
            del due.steps[0]
        if due.steps:
            due.turn = turn + self._rng.expovariate(1 / REST) + 1
            heapq.heappush(self._due, due)


async def run(writer: Writer, street: Street, rate: float) -> None:
    """Let one step happen every 1/`rate` seconds, for ever; a step that is refused ends its repair's life."""
    for turn in itertools.count():
        now = datetime.now(UTC)
        due = street.next(turn, now)
        try:
            answer = await _happen(writer, due, now)
        except RefusedError as refusal:
            print(f"{_clock(now)}  refused: {refusal}", flush=True)
        except aiohttp.ClientError as error:
            print(f"{_clock(now)}  the writer is unavailable ({error}); trying again", flush=True)
            await asyncio.sleep(2)
            street.put_back(due, turn, again=True)
        else:
            print(_line(now, due, answer), flush=True)
            street.put_back(due, turn)
        await asyncio.sleep(1 / rate)


async def _happen(writer: Writer, due: Due, now: datetime) -> Answer:
    """Send the next step as it happens now; the key lets it be sent twice and happen once."""
    step = due.steps[0]
    key = f"{step.source_ref}-{len(due.steps)}"
    change = {name: value for name, value in step.change.items() if value is not None}
    change["occurred_at"] = stamp(now)
    if "repair_date" in change:
        change["repair_date"] = stamp(now)
    if step.act == "record":
        named = {
            "source": SOURCE,
            "source_ref": step.source_ref,
            "customer_id": due.fleet.customer_id,
        }
        answer = await writer.record(change | named, key=key)
        due.repair_id = answer.body["repair_id"]
        return answer
    send = {"status": writer.status, "correct": writer.correct, "remove": writer.remove}[step.act]
    return await send(due.repair_id, change, key=key)


def _line(now: datetime, due: Due, answer: Answer) -> str:
    """Return one line about a change: time, customer, unit, and the customer's new revision."""
    step = due.steps[0]
    status = str(step.after["status"])
    if step.act == "status":
        what = f"is {status}"
    elif step.act == "record":
        what = f"recorded as {status}: {step.after['damage_type']}"
    elif step.act == "correct":
        what = "corrected: " + ", ".join(f"{name} {answer.body[name]}" for name in step.change)
    else:
        what = f"removed: {step.change['reason']}"
    unit = str(step.after["unit_number"])
    return (
        f"{_clock(now)}  {due.fleet.name:<26}  unit {unit:<9} {what}  (revision {answer.revision})"
    )


def _clock(now: datetime) -> str:
    return f"{now.astimezone():%H:%M:%S}"


def _fleets(customer_id: int | None) -> Iterator[Fleet]:
    return (fleet for fleet in FLEETS if customer_id in (None, fleet.customer_id))


async def _run(arguments: argparse.Namespace) -> None:
    fleets = list(_fleets(arguments.customer))
    street = Street(fleets, Random(), f"{datetime.now(UTC):%Y%m%d%H%M%S}")
    async with Writer(arguments.writer, arguments.key) as writer:
        for fleet in fleets:
            await writer.put_customer(fleet.customer_id, fleet.profile())
        await run(writer, street, arguments.rate)


def main() -> None:
    """Read the arguments and run until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writer", required=True, help="address of the writer, http://host:port")
    parser.add_argument(
        "--key-file", required=True, help="file with an API key (repairs and customers)"
    )
    parser.add_argument("--rate", type=float, default=1.0, help="steps a second")
    parser.add_argument(
        "--customer",
        type=int,
        choices=[fleet.customer_id for fleet in FLEETS],
        help="this one alone",
    )
    arguments = parser.parse_args()
    if not 0 < arguments.rate <= 1000:  # noqa: PLR2004  -- a person watches
        parser.error("--rate must be above 0 and at most 1000")
    arguments.key = Path(arguments.key_file).read_text().strip()
    try:
        asyncio.run(_run(arguments))
    except KeyboardInterrupt:
        print("\nstopped; what happened stays in the demo")
    except RefusedError as refusal:
        sys.exit(f"the writer refused: {refusal}")
    except aiohttp.ClientError as error:
        sys.exit(f"the writer is unavailable: {error}")


if __name__ == "__main__":
    main()
