"""Threads in which passwords are hashed, at a low priority, and short queues before them.

In the event loop one sign-in would delay every reader for a third of a second; without a bound
on the queue a flood of sign-ins would take all memory and answer nobody. Known devices have a
thread and a queue of their own, so that a flood from unknown ones never takes their place.
"""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar

from gateway import passwords
from gateway.metrics import HASHES_WAITING

THREADS: Final = 2
QUEUE: Final = 20
_NICE: Final = 10

_T = TypeVar("_T")


class HashQueueFullError(Exception):
    """More sign-ins at once than the queue takes; try again in a few seconds."""


def _step_back() -> None:
    """Let readers go before logins; a machine that does not know priorities loses only that."""
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
    except (OSError, AttributeError):
        return


class _BoundedThreads:
    """Threads with a bounded queue.

    A place is free again when its work has ended, also if its caller has gone before.
    """

    def __init__(self, name: str, threads: int, queue: int) -> None:
        self._threads = ThreadPoolExecutor(threads, name, initializer=_step_back)
        self._room = threads + queue
        self._held = 0
        self._lock = threading.Lock()

    @property
    def is_full(self) -> bool:
        return self._held >= self._room

    async def run(self, function: Callable[..., _T], *args: str) -> _T:
        with self._lock:
            if self.is_full:
                raise HashQueueFullError
            self._held += 1
        HASHES_WAITING.inc()
        future = self._threads.submit(function, *args)
        future.add_done_callback(self._release)
        return await asyncio.wrap_future(future)

    def _release(self, _: "Future[Any]") -> None:
        with self._lock:
            self._held -= 1
        HASHES_WAITING.dec()

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)


class HashPool:
    """Verifies and makes password hashes off the event loop."""

    def __init__(self, threads: int = THREADS, queue: int = QUEUE) -> None:
        self._unknown = _BoundedThreads("password", threads, queue)
        self._known = _BoundedThreads("password-known", 1, queue)
        # What an unknown name is checked against, so that it costs as much as a known one.
        self._nobody = passwords.hash_password("nobody has this one")

    @property
    def is_full(self) -> bool:
        """Whether one more from an unknown device would be refused."""
        return self._unknown.is_full

    async def verify(self, stored: str | None, password: str, *, known_device: bool) -> bool:
        """Say whether the password is right; without a stored one, after the same work, no.

        Raises HashQueueFullError.
        """
        threads = self._known if known_device else self._unknown
        if stored is None or not passwords.is_known(stored):
            await threads.run(passwords.verify, self._nobody, password)
            return False
        return await threads.run(passwords.verify, stored, password)

    async def hash(self, password: str) -> str:
        """Return the hash of a new password. Raises HashQueueFullError."""
        return await self._known.run(passwords.hash_password, password)

    def close(self) -> None:
        """Let the work under way finish and end the threads."""
        self._unknown.close()
        self._known.close()
