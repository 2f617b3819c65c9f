"""The six statuses of a repair, in the order of work, and the moves between them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

REQUESTED: Final = "REQUESTED"
PENDING: Final = "PENDING"
APPROVED: Final = "APPROVED"
IN_PROGRESS: Final = "IN_PROGRESS"
COMPLETED: Final = "COMPLETED"
DENIED: Final = "DENIED"

#: The words and the order of the portal's document; every status list has this order.
STATUSES: Final = (REQUESTED, PENDING, APPROVED, IN_PROGRESS, COMPLETED, DENIED)

#: Names for customers, on a page and in a rejection.
LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        REQUESTED: "Requested",
        PENDING: "Waiting for you",
        APPROVED: "Approved",
        IN_PROGRESS: "In progress",
        COMPLETED: "Completed",
        DENIED: "Denied",
    }
)

#: Allowed next statuses of each status. COMPLETED is final.
MOVES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        REQUESTED: frozenset({PENDING, APPROVED, IN_PROGRESS, COMPLETED, DENIED}),
        PENDING: frozenset({APPROVED, IN_PROGRESS, COMPLETED, DENIED}),
        APPROVED: frozenset({PENDING, IN_PROGRESS, COMPLETED, DENIED}),
        IN_PROGRESS: frozenset({APPROVED, COMPLETED}),
        DENIED: frozenset({PENDING, APPROVED}),
        COMPLETED: frozenset(),
    }
)

#: Decisions of a customer about a PENDING repair; it decides no other.
CUSTOMER_DECISIONS: Final = frozenset({APPROVED, DENIED})

_KNOWN: Final = frozenset(STATUSES)


def is_status(text: str) -> bool:
    """Return whether `text` is exactly one of the six statuses."""
    return text in _KNOWN
