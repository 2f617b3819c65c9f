"""Load the demo: three fleets and their three years, through the writer's public API only.

Run as `python -m deploy.demo.load --writer URL --key-file FILE --time-zone ZONE`. Loading again changes nothing;
a load that was broken off is simply run again.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import aiohttp
from deploy.demo.fleets import FLEETS, Fleet
from deploy.demo.lives import DAYS, SOURCE, Step, history, ref_of, stamp
from deploy.demo.writer import RefusedError, Writer

if TYPE_CHECKING:
    from collections.abc import Sequence

LANES = 8
IMPORT_FROM = 2_000
MOVED_ON = frozenset({409})


async def load(writer: Writer, time_zone: str, today: date) -> None:
    """Load every fleet that is not there yet, and say what was done."""
    for fleet in FLEETS:
        begun = time.monotonic()
        steps = await load_fleet(writer, fleet, time_zone, today - timedelta(days=DAYS))
        did = f"{steps} steps in {time.monotonic() - begun:.1f} s" if steps else "already there"
        print(f"{fleet.name} (customer {fleet.customer_id}): {did}", flush=True)


async def load_fleet(writer: Writer, fleet: Fleet, time_zone: str, first_day: date) -> int:
    """Load one fleet and return how many steps it took; 0 when it is there already."""
    if await writer.find(SOURCE, ref_of(fleet, fleet.repairs)) is not None:
        return 0
    await writer.put_customer(fleet.customer_id, fleet.profile())
    begun = await writer.find(SOURCE, ref_of(fleet, 1))
    if begun is not None:
        # A load that was broken off some other day goes on with the days that it had begun with.
        moment = datetime.fromisoformat(begun["repair_date"])
        first_day = moment.astimezone(ZoneInfo(time_zone)).date()
    steps = history(fleet, first_day, time_zone)
    # Sent last: its presence proves that the whole history is there.
    closing = ref_of(fleet, fleet.repairs)
    before = [step for step in steps if step.source_ref != closing]
    ids = await _import(writer, fleet, before) if fleet.repairs > IMPORT_FROM else {}
    play = [step for step in before if not ids or step.act == "remove"]
    lanes = [[step for step in play if _lane(step) == lane] for lane in range(LANES)]
    await asyncio.gather(*(_play(writer, fleet, lane, ids) for lane in lanes))
    await _play(writer, fleet, [step for step in steps if step.source_ref == closing], {})
    return len(steps)


def _lane(step: Step) -> int:
    """All steps of a repair go through one lane, so they stay in order."""
    return int(step.source_ref[-6:]) % LANES


async def _import(writer: Writer, fleet: Fleet, steps: Sequence[Step]) -> dict[str, str]:
    """Send a history as one import, in which a repair comes again at each change; return the ids by reference."""
    sent = [step for step in steps if step.act != "remove"]
    ids: dict[str, str] = {}
    async for result in writer.import_lines(_line(fleet, step) for step in sent):
        # A repair that an earlier, broken load has removed already stays removed.
        if result["outcome"] == "refused":
            if result["code"] != "removed":
                raise SystemExit(f"the writer refused a line of the demo: {result}")
            continue
        step = sent[result["line"] - 1]
        ids[step.source_ref] = result["repair_id"]
    return ids


def _line(fleet: Fleet, step: Step) -> dict[str, Any]:
    """Return the whole repair after the step, as a line of the import."""
    return {
        "source": SOURCE,
        "source_ref": step.source_ref,
        "customer_id": fleet.customer_id,
        "occurred_at": stamp(step.at),
        **step.after,
    }


async def _play(writer: Writer, fleet: Fleet, steps: Sequence[Step], ids: dict[str, str]) -> None:
    """Play steps one after another through the commands; each has a key of its own, so it may be sent again."""
    done: dict[str, int] = {}
    for step in steps:
        done[step.source_ref] = done.get(step.source_ref, 0) + 1
        key = f"demo-{step.source_ref}-{done[step.source_ref]}-{stamp(step.at)}"
        try:
            await play_step(writer, fleet, step, ids, key)
        except RefusedError as refusal:
            # The repair is further on than this step: an earlier load came this far.
            if refusal.status not in MOVED_ON:
                raise


async def play_step(
    writer: Writer, fleet: Fleet, step: Step, ids: dict[str, str], key: str
) -> None:
    """Send one step as the command that an internal system would send."""
    change = {name: value for name, value in step.change.items() if value is not None}
    change["occurred_at"] = stamp(step.at)
    if step.act == "record":
        answer = await writer.record(_line(fleet, step), key=key)
        ids[step.source_ref] = answer.body["repair_id"]
        return
    if step.source_ref not in ids:
        found = await writer.find(SOURCE, step.source_ref)
        ids[step.source_ref] = (found or {})["repair_id"]
    send = {"status": writer.status, "correct": writer.correct, "remove": writer.remove}[step.act]
    await send(ids[step.source_ref], change, key=key)


async def _run(arguments: argparse.Namespace) -> None:
    zone = ZoneInfo(arguments.time_zone)
    async with Writer(arguments.writer, arguments.key, connections=LANES) as writer:
        await load(writer, arguments.time_zone, datetime.now(UTC).astimezone(zone).date())


def main() -> None:
    """Read the arguments and load."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writer", required=True, help="address of the writer, http://host:port")
    parser.add_argument(
        "--key-file", required=True, help="file with an API key (repairs and customers)"
    )
    parser.add_argument("--time-zone", default="America/Chicago")
    arguments = parser.parse_args()
    arguments.key = Path(arguments.key_file).read_text().strip()
    try:
        asyncio.run(_run(arguments))
    except RefusedError as refusal:
        sys.exit(f"the writer refused: {refusal}")
    except aiohttp.ClientError as error:
        sys.exit(f"the writer is unavailable: {error}; loaded repairs stay, run this again")


if __name__ == "__main__":
    main()
