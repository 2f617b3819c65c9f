"""Customers published lately, of whom the oldest are forgotten when they are too many. Pure."""

from collections.abc import Collection
from typing import Final

_MOST: Final = 10_000


class Lately:
    """Remembers customers, each once, by when they were published last."""

    def __init__(self) -> None:
        self._customers: dict[int, None] = {}

    def add(self, customers: Collection[int]) -> None:
        """Remember these customers as the latest."""
        for customer in customers:
            self._customers.pop(customer, None)
            self._customers[customer] = None
        while len(self._customers) > _MOST:
            del self._customers[next(iter(self._customers))]

    def take(self, most: int = _MOST) -> list[int]:
        """Return the latest, at most `most`, latest first, and forget them."""
        taken = list(self._customers)[-most:]
        for customer in taken:
            del self._customers[customer]
        return taken[::-1]
