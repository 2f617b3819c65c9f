"""Waiting for what is away: longer and longer, for ever, and with few words."""

import asyncio
import random
from typing import Final

from service_runtime.logs import get

_FIRST_SECONDS: Final = 0.05
_LONGEST_SECONDS: Final = 5.0


class Patience:
    """How long one job has waited for one thing; it logs when that goes away, and when it is back."""

    def __init__(self, job: str, *, longest: float = _LONGEST_SECONDS) -> None:
        self._job = job
        self._longest = longest
        self._failures = 0
        #: The failure that is being waited out, None while the job works.
        self.reason: BaseException | None = None

    async def failed(self, error: BaseException) -> None:
        """Sleep before the next try; one line of log the 1st, 2nd, 4th, 8th, ... time."""
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
        """Say that it worked."""
        self.reason = None
        if self._failures:
            get().info("works_again", job=self._job, tries=self._failures)
            self._failures = 0
