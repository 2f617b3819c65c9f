"""Figures of a page in words: the sentences that its script also writes when they change.

`web/scripts/words.ts` is the other half; a browser test compares the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

import orjson

from portal_query.document import first_units
from repair_events import status

LABELS: Final = status.LABELS
_UNITS_SHOWN: Final = 20
#: The separator that browsers write between a time and AM or PM.
_NARROW: Final = "\u202f"


@dataclass(frozen=True, slots=True)
class Counts:
    """The three lists of one version, with the page's sentences about the current month.

    `units` holds the first units of `unit_count`: the units that the page shows without a script.
    """

    units: list[dict[str, Any]]
    months: list[dict[str, Any]]
    statuses: list[dict[str, Any]]
    current_month: str
    unit_count: int

    @classmethod
    def of(cls, units: bytes, months: bytes, statuses: bytes, current_month: str) -> Self:
        """Return the counts of three bodies."""
        first, number = first_units(units, _UNITS_SHOWN)
        return cls(
            first, orjson.loads(months), orjson.loads(statuses), current_month, unit_count=number
        )

    @property
    def total(self) -> int:
        """Return the number of all repairs, without the removed ones."""
        return sum(row["count"] for row in self.statuses)

    @property
    def open(self) -> int:
        """Return the number of repairs that still need work."""
        return self.count("REQUESTED", "PENDING", "APPROVED", "IN_PROGRESS")

    def count(self, *statuses: str) -> int:
        """Return the number of repairs in these statuses."""
        return sum(row["count"] for row in self.statuses if row["status"] in statuses)

    @property
    def sentences(self) -> dict[str, str]:
        """Return the main sentence of each card."""
        return {
            "units": self._unit_sentence(),
            "months": self._month_sentence(),
            "statuses": self._status_sentence(),
        }

    def _unit_sentence(self) -> str:
        if not self.units:
            return "No unit has been repaired yet."
        # The three lists of one version add up to the same number.
        first, all_of_them = self.units[0], self.total
        name, most = first["unit_number"], first["repair_count"]
        if self.unit_count == 1:
            return f"{repairs(all_of_them)}, {'' if all_of_them == 1 else 'all '}on unit {name}."
        return (
            f"{repairs(all_of_them)} on {self.unit_count:,} units; "
            f"{name} has most, {most:,} ({share(most, all_of_them)})."
        )

    def _month_sentence(self) -> str:
        if not self.months:
            return "No repair has been recorded yet."
        most = max(self.months, key=lambda row: int(row["count"]))
        sentence = f"Most in {month_name(most['date'])}: {repairs(most['count'])}"
        if most["date"] == self.current_month:
            return f"{sentence} so far."
        for row in self.months:
            if row["date"] == self.current_month:
                name = month_alone(row["date"])
                return f"{sentence}. {name} is not over: {row['count']:,} so far."
        return f"{sentence}."

    def _status_sentence(self) -> str:
        if not self.total:
            return "No repair has been recorded yet."
        waiting = self.count("PENDING")
        decision = f"{waiting:,} for your decision" if waiting else "none waits for your decision"
        return f"{self.open:,} open, {decision}."


def repairs(count: int) -> str:
    """Return "1 repair", "1,234 repairs"."""
    return f"{count:,} {'repair' if count == 1 else 'repairs'}"


def share(count: int, total: int) -> str:
    """Return a part of a whole, rounded half up as browsers do; empty for a total of 0."""
    if not total:
        return ""
    rounded = (200 * count + total) // (2 * total)
    return "< 1 %" if count and not rounded else f"{rounded} %"


def month_name(month: str) -> str:
    """Return "March 2026" for 2026-03."""
    return f"{datetime.strptime(month, '%Y-%m'):%B %Y}"  # noqa: DTZ007 - a month has no zone


def month_alone(month: str) -> str:
    """Return "March" for 2026-03."""
    return month_name(month).partition(" ")[0]


def completed_note(completed: Mapping[str, Any]) -> str:
    """Return the comparison of this month's completed repairs with the whole month before."""
    now, before = completed["count"], completed["count_before"]
    change = "as many so far"
    if now != before:
        change = f"{abs(now - before):,} {'more already' if now > before else 'fewer so far'}"
    return f"{before:,} in {month_alone(completed['month_before'])}, {change}"


def when(moment: datetime, now: datetime) -> str:
    """Return "Mar 5, 2:03 PM", of another year than `now` "Mar 5, 2025"; both in one zone."""
    day = f"{moment:%b} {moment.day}, "
    if moment.year != now.year:
        return f"{day}{moment.year}"
    return f"{day}{moment.hour % 12 or 12}:{moment:%M}{_NARROW}{moment:%p}"


def clock(moment: datetime) -> str:
    """Return "2:03:04 PM" of a moment in its own zone."""
    return f"{moment.hour % 12 or 12}:{moment:%M:%S}{_NARROW}{moment:%p}"


def day(moment: datetime) -> str:
    """Return "March 5, 2026" of a moment in its own zone."""
    return f"{moment:%B} {moment.day}, {moment.year}"
