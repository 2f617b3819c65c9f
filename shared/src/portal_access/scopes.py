"""Scopes of an API key."""

from typing import Final

REPAIRS_WRITE: Final = "repairs:write"
REPAIRS_READ: Final = "repairs:read"
CUSTOMERS_WRITE: Final = "customers:write"
HISTORY_READ: Final = "history:read"
#: Lifts the binding of a key to its sources: for an operators' back office, not for publishers.
SOURCES_ANY: Final = "sources:any"

SCOPES: Final = (REPAIRS_WRITE, REPAIRS_READ, CUSTOMERS_WRITE, HISTORY_READ, SOURCES_ANY)


def parse_scopes(text: str) -> frozenset[str]:
    """Return the scopes of a comma-separated list.

    Raises ValueError naming the unknown scopes, or when the list is empty.
    """
    wanted = frozenset(part.strip() for part in text.split(",") if part.strip())
    unknown = wanted - set(SCOPES)
    if unknown or not wanted:
        what = f"unknown scope {', '.join(sorted(unknown))}" if unknown else "no scope given"
        raise ValueError(f"{what}; choose from {', '.join(SCOPES)}")
    return wanted
