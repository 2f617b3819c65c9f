"""Windshield damage: kinds, prices, seasons, people and their words. Pure data and draws."""

# ruff: noqa: PLR2004  -- shares, waits and prices are the data of this page
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date, datetime
    from random import Random

# Damage, how often it is seen, and the price of the first break on a visit.
DAMAGE = {
    "Chip": (34, 50),
    "Star break": (22, 55),
    "Bullseye": (16, 50),
    "Combination break": (11, 65),
    "Half-moon": (7, 50),
    "Short crack": (7, 75),
    "Surface pit": (3, 35),
}
# Each further break of the same visit costs less, down to the fifth.
FURTHER_BREAKS = (0, 10, 15, 20, 25)
# Gravel and frost in late winter, road works in summer, quiet autumn.
SEASON = (1.15, 1.35, 1.5, 1.25, 0.95, 1.0, 1.1, 1.05, 0.8, 0.7, 0.75, 0.9)
# Monday to Sunday.
WEEK = (1.1, 1.15, 1.1, 1.0, 0.95, 0.25, 0.05)
PLACES = (
    "driver side, below the wiper line",
    "passenger side, upper third",
    "centre, level with the mirror",
    "driver side, near the edge",
    "passenger side, lower corner",
    "in front of the camera bracket",
)
CAUSES = (
    "gravel on the interstate",
    "stone from a truck ahead",
    "road works",
    "seen at the weekly inspection",
    "overnight frost",
    "",
)
TECHNICIANS = (
    "Dana Whitfield",
    "Luis Ortega",
    "Marta Kowalski",
    "Terrence Hill",
    "Ann-Marie Béland",
    "Joe Nakamura",
)
NOTES = (
    "",
    "",
    "",
    "Please do it before Friday's run.",
    "Unit is parked in bay 4.",
    "Keys at the gate.",
    "Driver reports it is growing.",
)
WORK_NOTES = (
    "",
    "",
    "Resin held, no legs left.",
    "Slight blemish remains, customer informed.",
    "Cold glass, warmed before injection.",
)
DENIALS = (
    "Windshield will be replaced",
    "Unit is about to be sold",
    "Over budget this quarter",
    "Not in the driver's view",
)
REMOVALS = ("Entered twice", "Wrong customer's yard", "Test entry of the new tablet")


@dataclass(frozen=True)
class Stop:
    """A station of a repair's life: the status, the time since the previous one, and any reason."""

    status: str
    after_hours: float = 0
    reason: str | None = None


def weight_of(day: date) -> float:
    """Return how likely a visit is on that day."""
    return SEASON[day.month - 1] * WEEK[day.weekday()]


def found(unit_number: str, place: int, at: datetime, rng: Random) -> dict[str, str | None]:
    """Draw a repair as it is first written down; `place` counts the breaks of the visit from 0."""
    damage = rng.choices(list(DAMAGE), weights=[weight for weight, _ in DAMAGE.values()])[0]
    price = DAMAGE[damage][1] - FURTHER_BREAKS[min(place, len(FURTHER_BREAKS) - 1)]
    cause = rng.choice(CAUSES)
    size = f"{rng.choice((3, 4, 5, 6, 8, 10, 12, 15, 20))} mm"
    return {
        "unit_number": unit_number,
        "repair_date": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "description": f"{damage}, {size}, {rng.choice(PLACES)}" + (f"; {cause}" if cause else ""),
        "damage_type": damage,
        "cost": f"{max(price, 20)}.00",
        "technician": technician(rng),
        "customer_notes": rng.choice(NOTES),
        "technician_notes": rng.choice(WORK_NOTES),
    }


def technician(rng: Random) -> str:
    """Draw who does the work."""
    return rng.choice(TECHNICIANS)


def path_of(*, asked: bool, contract: float, rng: Random) -> list[Stop]:
    """Draw the stations of a life. Every move is one that the status rules allow."""
    if asked:
        return _asked(rng)
    if rng.random() < contract:
        return [Stop("COMPLETED")]
    draw = rng.random()
    if draw < 0.75:
        return [Stop("APPROVED"), *_work(rng)]
    if draw < 0.93:
        return [Stop("PENDING"), Stop("APPROVED", rng.uniform(1, 60)), *_work(rng)]
    return [Stop("PENDING"), Stop("DENIED", rng.uniform(2, 90), rng.choice(DENIALS))]


def _asked(rng: Random) -> list[Stop]:
    """Draw the life of a repair that the customer asked for."""
    draw = rng.random()
    begin = [Stop("REQUESTED")]
    if draw < 0.60:
        return [*begin, Stop("APPROVED", rng.uniform(0.5, 90)), *_work(rng)]
    quoted = [*begin, Stop("PENDING", rng.uniform(0.5, 60))]
    if draw < 0.86:
        return [*quoted, Stop("APPROVED", rng.uniform(1, 120)), *_work(rng)]
    denied = [*quoted, Stop("DENIED", rng.uniform(1, 90), rng.choice(DENIALS))]
    if draw < 0.97:
        return denied
    return [
        *denied,
        Stop("APPROVED", rng.uniform(5, 100), "Driver needs it after all"),
        *_work(rng),
    ]


def _work(rng: Random) -> list[Stop]:
    """Draw the visit: begun and done, or sent back once because of the weather, or simply reported as done."""
    wait = rng.uniform(4, 150)
    if rng.random() < 0.45:
        return [Stop("COMPLETED", wait)]
    visit = [Stop("IN_PROGRESS", wait)]
    if rng.random() < 0.04:
        visit += [
            Stop("APPROVED", 1, "Rain, new appointment"),
            Stop("IN_PROGRESS", rng.uniform(20, 100)),
        ]
    # Some are left to cure and are signed off the next day.
    return [*visit, Stop("COMPLETED", rng.choice((0.5, 0.5, 20)))]


def mistyped(number: str, rng: Random) -> str:
    """Return the unit number as a tired person types it: two neighbours swapped, or one digit off."""
    digits = [place for place, letter in enumerate(number) if letter.isdigit()]
    place = rng.choice(digits)
    other = str((int(number[place]) + rng.randrange(1, 10)) % 10)
    return number[:place] + other + number[place + 1 :]


def other_price(cost: str, rng: Random) -> str:
    """Return the price after a discount or a surcharge, never below 10."""
    return f"{max(int(float(cost)) + rng.choice((-15, -10, -5, 5, 10, 20)), 10)}.00"
