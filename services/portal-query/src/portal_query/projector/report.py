"""The progress of work on many customers: a line every two seconds, and a summary at the end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from portal_query.projector.bulk import Known
from service_runtime.clock import Clock

_EVERY_SECONDS: Final = 2.0


class Report:
    """A counter of finished work, against `customers` and the `events` of their streams."""

    def __init__(
        self, customers: int, events: int, clock: Clock, say: Callable[[str], None]
    ) -> None:
        self._customers = customers
        self._events = events
        self._clock = clock
        self._say = say
        self._begun = self._said = clock.monotonic()
        self._under_way: set[int] = set()
        self._last = 0
        self._done = 0
        self._events_done = 0

    @contextmanager
    def of(self, one: Known) -> Iterator[None]:
        """Count a customer when the block ends without an error. Customers start in id order."""
        self._under_way.add(one.customer_id)
        self._last = one.customer_id
        yield
        self._under_way.discard(one.customer_id)
        self._done += 1
        self._events_done += one.events
        now = self._clock.monotonic()
        if now - self._said >= _EVERY_SECONDS:
            self._said = now
            share = 100 * self._events_done // max(self._events, 1)
            self._say(
                f"{self._done:,} of {self._customers:,} customers, {share} % of the events, "
                f"{self._rate():,.0f} a second; all below customer {self.next_customer()} are done"
            )

    def next_customer(self) -> int:
        """Return the customer to continue from: all below it are done."""
        return min(self._under_way, default=self._last + 1)

    def whole(self) -> str:
        """Return the summary of all finished work."""
        seconds = self._clock.monotonic() - self._begun
        return (
            f"{self._done:,} customers, {self._events_done:,} events in {seconds:,.1f} s "
            f"({self._rate():,.0f} a second)"
        )

    def _rate(self) -> float:
        return self._events_done / max(self._clock.monotonic() - self._begun, 0.001)
