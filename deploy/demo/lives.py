"""The demo's history: from a seed to the lives of repairs, one step after another.

Pure: the same seed, fleet and first day always give the same steps, on every machine.
A step carries the command of an internal system and the whole repair after it.
It can therefore be sent as a command or as a line of an import.
"""

# ruff: noqa: PLR2004  -- shares, waits and prices are the data of this page
from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo

from deploy.demo import glass
from deploy.demo.fleets import HISTORY_YEARS, Fleet, Unit, units_of

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = "rs-demo"
SEED = 20_260_501
DAYS = HISTORY_YEARS * 365
FRESH_DAYS = 8

Act = Literal["record", "status", "correct", "remove"]
Fields = dict[str, str | None]


@dataclass(frozen=True)
class Step:
    """One thing that happened: when (UTC), to which repair, what was done, and the repair as it is afterwards."""

    at: datetime
    source_ref: str
    act: Act
    change: Fields
    after: Fields


def history(fleet: Fleet, first_day: date, time_zone: str, seed: int = SEED) -> list[Step]:
    """Return every step of the fleet's three years in the order in which they happened.

    The first step happens on `first_day`; nothing happens after the last day, so late repairs stay open.
    """
    rng = Random(f"{seed}:{fleet.customer_id}")
    units = units_of(fleet, rng)
    zone = ZoneInfo(time_zone)
    end = datetime.combine(first_day + timedelta(days=DAYS), time(0), zone).astimezone(UTC)
    steps = [
        step
        for life in _lives(fleet, units, first_day, zone, rng)
        for step in life
        if step.at < end
    ]
    steps.sort(key=lambda step: (step.at, step.source_ref))
    return steps


def ref_of(fleet: Fleet, number: int) -> str:
    """Return what the demo calls the fleet's n-th repair, counted from 1.

    The first and the last are recorded as done and never touched again: they tell which day the
    history began with, and that it is complete.
    """
    return f"{fleet.customer_id}-{number:06d}"


def _lives(
    fleet: Fleet, units: list[Unit], first_day: date, zone: ZoneInfo, rng: Random
) -> Iterator[list[Step]]:
    """Yield one life per repair; visits with several breaks give several lives that share a batch."""
    visits = _visits(fleet.repairs, rng)
    exposure = list(accumulate(unit.exposure for unit in units))
    number = 0
    for breaks, day in zip(visits, _visit_days(fleet, len(visits), first_day, rng), strict=True):
        unit = _pick_unit(units, exposure, (day - first_day).days / DAYS, rng)
        batch = str(_uuid(rng)) if breaks > 1 else None
        begun = _working_moment(day, zone, rng)
        for place in range(breaks):
            number += 1
            ref = ref_of(fleet, number)
            repair = glass.found(unit.number, place, begun + timedelta(minutes=4 * place), rng)
            repair["batch_id"] = batch
            if number in (1, fleet.repairs):
                yield _done_at_once(ref, repair)
            else:
                yield live(fleet, ref, repair, rng)


def _visits(repairs: int, rng: Random) -> list[int]:
    """Draw how many breaks each visit finds, nearly always one, until all repairs are spread."""
    visits: list[int] = []
    while repairs:
        breaks = min(rng.choices((1, 2, 3, 4), weights=(88, 8, 3, 1))[0], repairs)
        visits.append(breaks)
        repairs -= breaks
    return visits


def _done_at_once(ref: str, repair: Fields) -> list[Step]:
    """Return the shortest life: done on the spot."""
    done = repair | {"status": "COMPLETED", "requested_by": "internal"}
    return [Step(datetime.fromisoformat(str(repair["repair_date"])), ref, "record", done, done)]


def live(fleet: Fleet, ref: str, repair: Fields, rng: Random) -> list[Step]:
    """Let one repair live: from its first record to its end, with the corrections that real offices make."""
    at = datetime.fromisoformat(str(repair["repair_date"]))
    asked = rng.random() < fleet.asks_first
    path = glass.path_of(asked=asked, contract=fleet.contract, rng=rng)
    first = repair | {"status": path[0].status, "requested_by": "customer" if asked else "internal"}
    first |= {"technician": ""} if asked else {}
    steps = [Step(at, ref, "record", first, first)]
    now = first
    for stop in path[1:]:
        at = at + timedelta(minutes=int(stop.after_hours * 60) + rng.randrange(60))
        if stop.status == "IN_PROGRESS":
            now, at = _assign(steps, ref, now, at, rng)
        change: Fields = {"status": stop.status, "reason": stop.reason}
        now = now | {"status": stop.status}
        steps.append(Step(at, ref, "status", change, now))
    _second_thoughts(steps, ref, rng)
    return steps


def _assign(
    steps: list[Step], ref: str, now: Fields, at: datetime, rng: Random
) -> tuple[Fields, datetime]:
    """Send a technician: for repairs that were only asked for, the date becomes the date of the visit."""
    if now["technician"]:
        return now, at
    change: Fields = {"technician": glass.technician(rng), "repair_date": stamp(at)}
    now = now | change
    steps.append(Step(at, ref, "correct", change, now))
    return now, at + timedelta(minutes=1)


def _second_thoughts(steps: list[Step], ref: str, rng: Random) -> None:
    """Add what the office notices later: a mistyped unit, a wrong price, a record that was entered twice."""
    draw = rng.random()
    last = steps[-1]
    at = last.at + timedelta(minutes=rng.randrange(12 * 60, 12 * 24 * 60))
    if draw < 0.02:
        right = steps[0].after["unit_number"]
        wrong = glass.mistyped(str(right), rng)
        for place, step in enumerate(steps):
            change = step.change | ({"unit_number": wrong} if step.act == "record" else {})
            steps[place] = Step(step.at, ref, step.act, change, step.after | {"unit_number": wrong})
        change = {"unit_number": right}
        steps.append(Step(at, ref, "correct", change, steps[-1].after | change))
    elif draw < 0.035:
        change = {"cost": glass.other_price(str(last.after["cost"]), rng)}
        steps.append(Step(at, ref, "correct", change, last.after | change))
    elif draw < 0.047:
        change = {"reason": rng.choice(glass.REMOVALS)}
        steps.append(Step(at, ref, "remove", change, last.after))


def _visit_days(fleet: Fleet, visits: int, first_day: date, rng: Random) -> list[date]:
    """Draw the days of the visits: by season, hardly at weekends, a fleet that grows a little.

    The first is fixed, and `fleet.fresh` of them lie in the last days: their repairs are still open.
    """
    days = [first_day + timedelta(days=offset) for offset in range(DAYS)]
    weights = [glass.weight_of(day) * (0.85 + 0.3 * place / DAYS) for place, day in enumerate(days)]
    fresh = rng.choices(days[-FRESH_DAYS:], weights[-FRESH_DAYS:], k=fleet.fresh)
    drawn = rng.choices(days, weights, k=visits - 1 - fleet.fresh)
    return [first_day, *sorted(drawn + fresh)]


def _pick_unit(units: list[Unit], exposure: list[float], moment: float, rng: Random) -> Unit:
    """Pick the unit that broke, by its exposure, among those in service."""
    for unit in rng.choices(units, cum_weights=exposure, k=20):
        if unit.in_service(moment):
            return unit
    return units[0]


def _working_moment(day: date, zone: ZoneInfo, rng: Random) -> datetime:
    """Draw a moment of the working day there, as UTC."""
    minute = int(rng.triangular(6 * 60, 19 * 60, 9 * 60))
    local = datetime.combine(day, time(minute // 60, minute % 60, rng.randrange(60)), zone)
    return local.astimezone(UTC)


def _uuid(rng: Random) -> str:
    """Draw a version-4 UUID from the seeded generator."""
    digits = f"{rng.getrandbits(128):032x}"
    variant = "89ab"[int(digits[16], 16) % 4]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def stamp(at: datetime) -> str:
    """Write a moment as RFC 3339 in UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
