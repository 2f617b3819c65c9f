"""Recently published customers, bounded in number: the oldest are dropped first. Pure."""

from collections.abc import Collection
from typing import Final

_MOST: Final = 10_000


class Lately:
    """A set of customers, ordered by their last publication."""

    def __init__(self) -> None:
        self._customers: dict[int, None] = {}

    def add(self, customers: Collection[int]) -> None:
        """Add these customers as the most recent. Drop the oldest beyond 10,000."""
        for customer in customers:
            self._customers.pop(customer, None)
            self._customers[customer] = None
        while len(self._customers) > _MOST:
            del self._customers[next(iter(self._customers))]

    def take(self, most: int = _MOST) -> list[int]:
        """Remove and return the most recent customers, at most `most`, latest first."""
        taken = list(self._customers)[-most:]
        for customer in taken:
            del self._customers[customer]
        return taken[::-1]
