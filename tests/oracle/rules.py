"""Rules of counting, written independently from the documents, without the services' code."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

STATUSES: Final = ("REQUESTED", "PENDING", "APPROVED", "IN_PROGRESS", "COMPLETED", "DENIED")
MOVES: Final = {
    "REQUESTED": ("PENDING", "APPROVED", "IN_PROGRESS", "COMPLETED", "DENIED"),
    "PENDING": ("APPROVED", "IN_PROGRESS", "COMPLETED", "DENIED"),
    "APPROVED": ("PENDING", "IN_PROGRESS", "COMPLETED", "DENIED"),
    "IN_PROGRESS": ("APPROVED", "COMPLETED"),
    "COMPLETED": (),
    "DENIED": ("PENDING", "APPROVED"),
}


def may_move(old: str, new: str) -> bool:
    """Return whether a status command from `old` to `new` is accepted; the same status is (without
    a change).
    """
    return old == new or new in MOVES[old]


def moment(text: str | datetime) -> datetime:
    """Return a point in time, RFC 3339 or already parsed, as UTC."""
    read = text if isinstance(text, datetime) else datetime.fromisoformat(text)
    return read.astimezone(UTC)


def month_of(text: str | datetime, time_zone: str) -> str:
    """Return the calendar month, `YYYY-MM`, of the moment in that time zone."""
    local = moment(text).astimezone(ZoneInfo(time_zone))
    return f"{local.year:04d}-{local.month:02d}"


def unit_of(text: str) -> str:
    """Return the unit as it is counted: trimmed, white space folded (NFC is the caller's)."""
    return " ".join(text.split())


def money(value: str | Decimal) -> Decimal:
    """Return an amount with two places."""
    return Decimal(value).quantize(Decimal("0.01"))
