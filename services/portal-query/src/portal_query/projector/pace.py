"""The batch size: few records while live, many while catching up. Pure."""

from typing import Final

CATCHING_UP: Final = 10_000
_LIVE_SECONDS: Final = 0.015
_LEAST: Final = 100
_MOST_LIVE: Final = 2_000
#: From this many waiting records on, throughput matters more than the delay of one batch.
BEHIND: Final = 5_000
_FIRST_GUESS: Final = 40e-6
_WEIGHT: Final = 0.2


class Pace:
    """An estimate of the time per record, learned from transactions of at least 100 records."""

    def __init__(self) -> None:
        self._cost = _FIRST_GUESS

    def limit(self, behind: int) -> int:
        """Return the most records for a transaction while `behind` records wait."""
        if behind >= BEHIND:
            return CATCHING_UP
        return max(_LEAST, min(_MOST_LIVE, int(_LIVE_SECONDS / self._cost)))

    def observe(self, records: int, seconds: float) -> None:
        """Update the estimate with a transaction of `records` records that took `seconds`."""
        if records >= _LEAST:
            self._cost += _WEIGHT * (seconds / records - self._cost)
