"""Formatting of repairs on a page: money, days and times in the portal's zone, history lines."""

from datetime import datetime
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from portal_query.api.wording import LABELS
from portal_query.api.wording import repairs as repairs_text
from portal_query.read_model.repairs import HistoryLine
from repair_events import event

_FACTS: Final = {
    event.REQUESTED: "Requested",
    event.CORRECTED: "Details corrected",
    event.REMOVED: "Removed",
    event.RESTORED: "Restored",
}
_MOVES: Final = {
    "REQUESTED": "Requested",
    "PENDING": "Sent to you for a decision",
    "APPROVED": "Approved",
    "IN_PROGRESS": "Work began",
    "COMPLETED": "Completed",
    "DENIED": "Denied",
}


class Words:
    """Formats values for a reader in one time zone."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone

    def day(self, moment: datetime) -> str:
        """Return "Mar 5, 2026"."""
        local = moment.astimezone(self._zone)
        return f"{local:%b} {local.day}, {local.year}"

    def time(self, moment: datetime) -> str:
        """Return "2:03 PM"."""
        local = moment.astimezone(self._zone)
        return f"{local.hour % 12 or 12}:{local:%M} {local:%p}"

    def when(self, moment: datetime) -> str:
        """Return "Mar 5, 2026, 2:03 PM"."""
        return f"{self.day(moment)}, {self.time(moment)}"

    @staticmethod
    def money(cost: Decimal) -> str:
        """Return "$1,234.50"."""
        return f"${cost:,.2f}"

    @staticmethod
    def repairs(count: int) -> str:
        """Return "1 repair", "1,234 repairs"."""
        return repairs_text(count)

    @staticmethod
    def by(who: str) -> str:
        """Return the side that did something; persons have no names here."""
        return "Your company" if who == "customer" else "RS Wind"


def happenings(lines: list[HistoryLine]) -> list[tuple[HistoryLine, str]]:
    """Return each line of a history with its description, oldest first."""
    told, before = [], None
    for line in lines:
        told.append((line, _what(line, before)))
        before = line.status
    return told


def _what(line: HistoryLine, before: str | None) -> str:
    label = LABELS.get(line.status, line.status)
    if line.fact == event.RECORDED:
        return f"Recorded as {label}"
    if line.fact == event.STATUS_CHANGED or (before is not None and before != line.status):
        return _MOVES.get(line.status, label)
    return _FACTS.get(line.fact, "Changed")
