"""Exponential backoff with jitter, without limit, with sparse logging.

Not stamina or tenacity: they repeat one call up to a limit. Here a loop goes on for ever, its
backoff outlives the call, and a health check reads the reason.
"""

import asyncio
import random
from typing import Final

from service_runtime.logs import get

#: Prevents an overflow of the power. The delay has long reached its maximum.
_MAX_DOUBLINGS: Final = 20


def delay_seconds(failures: int, *, first: float = 0.1, longest: float = 5.0) -> float:
    """Return the delay after so many earlier failures: `first` seconds, doubled up to `longest`."""
    return min(longest, first * 2.0 ** min(failures, _MAX_DOUBLINGS))


class Backoff:
    """The backoff of one job. It logs the start and the end of a failure."""

    def __init__(self, job: str, *, first: float = 0.1, longest: float = 5.0) -> None:
        self._job = job
        self._first = first
        self._longest = longest
        self._failures = 0
        #: The failure that the job waits out, None while the job works.
        self.reason: BaseException | None = None

    async def failed(self, error: BaseException) -> None:
        """Sleep before the next try, at most `longest` seconds."""
        await asyncio.sleep(self.next_delay(error))

    def next_delay(self, error: BaseException) -> float:
        """Return the seconds until the next try, with jitter. Log failures 1, 2, 4, 8, ..."""
        longest = delay_seconds(self._failures, first=self._first, longest=self._longest)
        self._failures += 1
        self.reason = error
        if self._failures & (self._failures - 1) == 0:
            get().warning(
                "trying_again",
                job=self._job,
                tries=self._failures,
                error=f"{type(error).__name__}: {error}"[:300],
            )
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret

    def worked(self) -> None:
        """Reset the backoff after a success, and log the end of a failure."""
        self.reason = None
        if self._failures:
            get().info("works_again", job=self._job, tries=self._failures)
            self._failures = 0
