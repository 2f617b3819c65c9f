"""Threads that hash passwords at a low priority, with short queues before them.

In the event loop one sign-in would delay every reader for a third of a second. Without a bound on
the queue, a flood of sign-ins would take all memory. Known devices have a thread and a queue of
their own. So a flood from unknown devices leaves them room.
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
    """An error for more concurrent sign-ins than the queue takes; retry in a few seconds."""


def _step_back() -> None:
    """Lower the priority of this thread, so that readers run first.

    A system that refuses this is ignored.
    """
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
    except (OSError, AttributeError):
        return


class _BoundedThreads:
    """A pool of threads with a bounded queue.

    A place becomes free when its work has ended, even if its caller was cancelled before.
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
    """A verifier and maker of password hashes, off the event loop."""

    def __init__(self, threads: int = THREADS, queue: int = QUEUE) -> None:
        self._unknown = _BoundedThreads("password", threads, queue)
        self._known = _BoundedThreads("password-known", 1, queue)
        # The hash that an unknown name is checked against, so that it costs as much as a known one.
        self._nobody = passwords.hash_password("nobody has this one")

    @property
    def is_full(self) -> bool:
        """True if one more attempt from an unknown device would be refused."""
        return self._unknown.is_full

    async def verify(self, stored: str | None, password: str, *, known_device: bool) -> bool:
        """Return whether the password is right.

        Without a stored hash, return False after the same work. Raises HashQueueFullError.
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
        """Wait for the work in progress and end the threads; cancel the work in the queue."""
        self._unknown.close()
        self._known.close()
