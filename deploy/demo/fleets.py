"""The demo's customers: who they are, what they drive, how often their glass breaks.

Plain data and pure functions of a random generator; nothing here knows HTTP, files or the clock.
"""

# ruff: noqa: PLR2004  -- shares, waits and prices are the data of this page
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

HISTORY_YEARS = 3


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """One demo customer: its profile, the size of its fleet and of its history, and its habits.

    `asks_first` is the share of repairs that the customer itself requests; the rest are found by a technician.
    `contract` is the share of found repairs that are done at once, without asking; `fresh` visits lie in the last days.
    """

    customer_id: int
    name: str
    email: str
    phone: str
    address: str
    city: str
    state: str
    postal_code: str
    units: int
    repairs: int
    fresh: int
    unit_style: str
    asks_first: float
    contract: float

    def profile(self) -> dict[str, str]:
        """Return the profile as the writer's `PUT /v1/customers/{id}` takes it."""
        names = ("name", "email", "phone", "address", "city", "state", "postal_code")
        return {name: str(getattr(self, name)) for name in names}


CEDAR_RIDGE = Fleet(
    customer_id=1001,
    name="Cedar Ridge Landscaping",
    email="office@cedarridge.example",
    phone="+1 608 555 0114",
    address="41 Quarry Road",
    city="Baraboo",
    state="WI",
    postal_code="53913",
    units=5,
    repairs=9,
    fresh=2,
    unit_style="truck",
    asks_first=0.8,
    contract=0.2,
)
LAKESHORE = Fleet(
    customer_id=1002,
    name="Lakeshore Transit District",
    email="maintenance@lakeshoretransit.example",
    phone="+1 920 555 0162",
    address="2200 Garage Street",
    city="Sheboygan",
    state="WI",
    postal_code="53081",
    units=64,
    repairs=400,
    fresh=14,
    unit_style="bus",
    asks_first=0.6,
    contract=0.35,
)
MIDLAND = Fleet(
    customer_id=1003,
    name="Midland Aggregate Haulers",
    email="fleet@midlandaggregate.example",
    phone="+1 515 555 0187",
    address="9000 Interstate Parkway",
    city="Des Moines",
    state="IA",
    postal_code="50313",
    units=600,
    repairs=20_000,
    fresh=160,
    unit_style="hauler",
    asks_first=0.3,
    contract=0.55,
)
FLEETS = (CEDAR_RIDGE, LAKESHORE, MIDLAND)


@dataclass(frozen=True)
class Unit:
    """A vehicle: its number, how exposed it is, and which part of the three years (0..1) it is in service."""

    number: str
    exposure: float
    joined: float
    retired: float

    def in_service(self, moment: float) -> bool:
        """Return whether the unit is driven at `moment`, a share of the three years."""
        return self.joined <= moment <= self.retired


def units_of(fleet: Fleet, rng: Random) -> list[Unit]:
    """Draw the fleet's vehicles: most stay all three years, some join, some are sold; a few are magnets for stones."""
    units = []
    for place in range(fleet.units):
        joined = rng.uniform(0.05, 0.8) if rng.random() < 0.15 and place else 0.0
        retired = rng.uniform(joined + 0.15, 1.0) if rng.random() < 0.12 and place else 1.0
        exposure = rng.gammavariate(1.6, 1.0) + 0.05
        units.append(Unit(_number(fleet.unit_style, place), exposure, joined, min(retired, 1.0)))
    return units


def _number(style: str, place: int) -> str:
    """Name the unit as such a fleet would: gaps where vehicles were sold long ago, series by year of purchase."""
    if style == "truck":
        return f"T-{place + 1:02d}"
    if style == "bus":
        series, rest = divmod(place, 16)
        return f"{(14, 17, 19, 22, 24)[series % 5]}{rest + 1:02d}"
    series, rest = divmod(place, 100)
    prefix = ("MA21", "MA22", "MA23", "MA24", "MA25", "MAR")[series % 6]
    return f"{prefix}-{100 + rest * 2 + (rest % 7 == 0)}"
