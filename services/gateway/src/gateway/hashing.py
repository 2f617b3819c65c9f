"""Where passwords are hashed: two threads at a low priority, and a short queue before them.

In the event loop one login would hold up every reader for a third of a second; without a bound
on the queue a flood of logins would take all memory and answer nobody.
"""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from gateway import passwords
from gateway.metrics import HASHES_WAITING

THREADS: Final = 2
QUEUE: Final = 20
_NICE: Final = 10

_T = TypeVar("_T")


class HashQueueFullError(Exception):
    """More logins at once than the queue takes; try again in a few seconds."""


def _step_back() -> None:
    """Let readers go before logins; a machine that does not know priorities loses only that."""
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
    except (OSError, AttributeError):
        return


class HashPool:
    """Verifies and makes password hashes off the event loop."""

    def __init__(self, threads: int = THREADS, queue: int = QUEUE) -> None:
        self._threads = ThreadPoolExecutor(threads, "password", initializer=_step_back)
        self._room = threads + queue
        self._held = 0
        # What an unknown name is checked against, so that it costs as much as a known one.
        self._nobody = passwords.hash_password("nobody has this one")

    @property
    def is_full(self) -> bool:
        """Whether one more would be refused."""
        return self._held >= self._room

    async def verify(self, stored: str | None, password: str) -> bool:
        """Say whether the password is right; without a stored one, after the same work, no.

        Raises HashQueueFullError.
        """
        if stored is None or not passwords.is_known(stored):
            await self._run(passwords.verify, self._nobody, password)
            return False
        return await self._run(passwords.verify, stored, password)

    async def hash(self, password: str) -> str:
        """Return the hash of a new password. Raises HashQueueFullError."""
        return await self._run(passwords.hash_password, password)

    async def _run(self, function: Callable[..., _T], *args: str) -> _T:
        if self.is_full:
            raise HashQueueFullError
        self._held += 1
        HASHES_WAITING.set(self._held)
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, function, *args)
        finally:
            self._held -= 1
            HASHES_WAITING.set(self._held)

    def close(self) -> None:
        """Let the work under way finish and end the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)
