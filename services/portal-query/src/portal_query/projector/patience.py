"""Exponential backoff with jitter, without limit, with sparse logging."""

import asyncio
import random
from typing import Final

from service_runtime.logs import get

_FIRST_SECONDS: Final = 0.05
_LONGEST_SECONDS: Final = 5.0


class Patience:
    """The backoff of one job. It logs the start and the end of a failure."""

    def __init__(self, job: str, *, longest: float = _LONGEST_SECONDS) -> None:
        self._job = job
        self._longest = longest
        self._failures = 0
        #: The failure that the job waits out, None while the job works.
        self.reason: BaseException | None = None

    async def failed(self, error: BaseException) -> None:
        """Sleep before the next try, at most `longest` seconds. Log failures 1, 2, 4, 8, ..."""
        self._failures += 1
        self.reason = error
        if self._failures & (self._failures - 1) == 0:
            get().warning(
                "trying_again",
                job=self._job,
                tries=self._failures,
                error=f"{type(error).__name__}: {error}"[:300],
            )
        longest = min(self._longest, _FIRST_SECONDS * 2 ** min(self._failures, 20))
        await asyncio.sleep(longest * random.uniform(0.5, 1.0))  # noqa: S311 - no secret

    def worked(self) -> None:
        """Reset the backoff after a success, and log the end of a failure."""
        self.reason = None
        if self._failures:
            get().info("works_again", job=self._job, tries=self._failures)
            self._failures = 0
