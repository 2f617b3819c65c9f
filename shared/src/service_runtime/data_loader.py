"""DataLoader: concurrent calls become one batched lookup (the pattern of graphql/dataloader).

A call never joins a batch that is in flight, so its result is never older than the call.
A worker acquires a shared resource (a connection) inside the task that releases it. The number of
workers is the number of tasks that have not ended. Every resource is therefore released, however a
worker ends: a task that is cancelled before its first step has acquired nothing.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from itertools import islice
from typing import Final, Generic, TypeVar

from service_runtime.errors import OverloadedError

Key = TypeVar("Key")
Value = TypeVar("Value")
Resource = TypeVar("Resource")

#: Delay of a timer, in seconds, that shows a stall of this process rather than of the store.
STALLED_SECONDS: Final = 0.02
#: Extension of the deadline after a stall, in seconds: a reply may have arrived unread.
_SECOND_LOOK_SECONDS: Final = 0.05
_LOOKS: Final = 3
_CLOSE_SECONDS: Final = 1.0
#: Time for which the success of another call satisfies a check, in seconds.
_LATELY_SECONDS: Final = 1.0


class DeadlineError(TimeoutError):
    """Missing reply of the store within the deadline of a call."""


class LoadAbortedError(ConnectionError):
    """Abort of a batch before its result; the same call may be repeated."""


class _Worker(Generic[Key, Value]):
    """Calls in flight of a worker; `begun` after its first step, `served` from its first batch on."""

    __slots__ = ("begun", "calls", "served")

    def __init__(self) -> None:
        self.begun = False
        self.served = False
        self.calls: dict[Key, list[asyncio.Future[Value | None]]] = {}


class DataLoader(Generic[Key, Value, Resource]):
    """Batched lookups: at most `batch_size` keys at once, in `parallel` batches.

    `acquire` lends the resource of a batch, such as a connection. `load(resource, keys)` returns
    the found values by key; its exception goes to all callers of the batch. `acquire` bounds its
    own wait: it continues after the deadline of its callers.
    """

    def __init__(
        self,
        acquire: Callable[[], AbstractAsyncContextManager[Resource]],
        load: Callable[[Resource, Sequence[Key]], Awaitable[Mapping[Key, Value]]],
        *,
        parallel: int,
        batch_size: int,
        waiting: int,
        deadline_seconds: float,
    ) -> None:
        self._acquire = acquire
        self._load = load
        self._parallel = parallel
        self._batch_size = batch_size
        self._most_waiting = waiting
        self._deadline = deadline_seconds
        self._waiting: dict[Key, list[asyncio.Future[Value | None]]] = {}
        self._waiting_calls = 0
        self._running: dict[asyncio.Task[None], _Worker[Key, Value]] = {}
        #: Calls in order of arrival; answered calls are removed from the left.
        self._unanswered: deque[tuple[float, asyncio.Future[Value | None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._looks = 0
        self._answered_at = float("-inf")
        self._closed = False

    def load(self, key: Key) -> "asyncio.Future[Value | None]":
        """Return a future of the key's value, None if there is none.

        The future raises what `acquire` and `load` raise. It raises OverloadedError when too many
        calls wait or the store answers only other calls in time, DeadlineError when the store
        answers no call, and LoadAbortedError when the loader closes.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Value | None] = loop.create_future()
        if self._closed:
            future.set_exception(LoadAbortedError("this process is stopping"))
            return future
        if self._waiting_calls >= self._most_waiting:
            future.set_exception(OverloadedError(f"{self._waiting_calls} lookups wait already"))
            return future
        now = loop.time()
        self._waiting.setdefault(key, []).append(future)
        self._waiting_calls += 1
        self._unanswered.append((now, future))
        if self._timer is None:
            self._arm(now + self._deadline)
        if len(self._running) < self._parallel:
            self._start()
        return future

    async def check(self, key: Key) -> None:
        """Raise the error of a lookup, unless another lookup succeeded within the last second."""
        try:
            await self.load(key)
        except Exception:
            if asyncio.get_running_loop().time() - self._answered_at > _LATELY_SECONDS:
                raise

    async def close(self) -> None:
        """Cancel all workers; waiting callers get LoadAbortedError."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._fail(self._waiting, LoadAbortedError("this process is stopping"))
        self._waiting = {}
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(list(self._running), timeout=_CLOSE_SECONDS)

    def _start(self) -> None:
        """Start a worker below the limit, unless a worker that has not begun will take the calls."""
        if self._closed or len(self._running) >= self._parallel:
            return
        if all(worker.begun for worker in self._running.values()):
            worker: _Worker[Key, Value] = _Worker()
            task = asyncio.get_running_loop().create_task(self._work(worker))
            self._running[task] = worker
            task.add_done_callback(partial(self._ended, worker))

    async def _work(self, worker: _Worker[Key, Value]) -> None:
        # Runs in a later turn of the loop, after all calls of this turn.
        worker.begun = True
        async with self._acquire() as resource:
            while self._waiting:
                worker.served = True
                worker.calls = self._take()
                found = await self._load(resource, list(worker.calls))
                self._settle(worker, found)

    def _take(self) -> dict[Key, list["asyncio.Future[Value | None]"]]:
        if len(self._waiting) <= self._batch_size:
            batch, self._waiting = self._waiting, {}
            self._waiting_calls = 0
            return batch
        batch = {
            key: self._waiting.pop(key) for key in list(islice(self._waiting, self._batch_size))
        }
        self._waiting_calls -= sum(map(len, batch.values()))
        self._start()
        return batch

    def _settle(self, worker: _Worker[Key, Value], found: Mapping[Key, Value]) -> None:
        for key, futures in worker.calls.items():
            value = found.get(key)
            for future in futures:
                if not future.done():
                    future.set_result(value)
        worker.calls = {}
        self._answered_at = asyncio.get_running_loop().time()
        unanswered = self._unanswered
        while unanswered and unanswered[0][1].done():
            unanswered.popleft()

    def _ended(self, worker: _Worker[Key, Value], task: asyncio.Task[None]) -> None:
        """Fail the calls that the worker left unanswered, and start the next worker."""
        del self._running[task]
        error = None if task.cancelled() else task.exception()
        if worker.calls:
            self._fail(worker.calls, error)
        elif error is not None and not worker.served and not self._running:
            # The resource could not be acquired, and no other worker can serve these calls.
            self._fail(self._take(), error)
        if any(not future.done() for futures in self._waiting.values() for future in futures):
            self._start()

    def _fail(
        self,
        calls: Mapping[Key, Sequence["asyncio.Future[Value | None]"]],
        error: BaseException | None,
    ) -> None:
        if not isinstance(error, Exception):
            error = LoadAbortedError(f"the lookup was given up: {error!r}")
        for futures in calls.values():
            for future in futures:
                if not future.done():
                    future.set_exception(error)

    def _arm(self, due: float) -> None:
        self._due = due
        self._timer = asyncio.get_running_loop().call_at(due, self._expire)

    def _expire(self) -> None:
        """Fail the calls past their deadline, and cancel batches without waiting callers."""
        now = asyncio.get_running_loop().time()
        if now - self._due > STALLED_SECONDS and self._looks < _LOOKS:
            self._looks += 1
            self._arm(now + _SECOND_LOOK_SECONDS)
            return
        self._looks = 0
        self._timer = None
        over = now - self._deadline + 0.001
        unanswered = self._unanswered
        while unanswered and (unanswered[0][1].done() or unanswered[0][0] <= over):
            self._give_up(unanswered.popleft()[1], now)
        self._waiting = {
            key: left
            for key, futures in self._waiting.items()
            if (left := [future for future in futures if not future.done()])
        }
        self._waiting_calls = sum(map(len, self._waiting.values()))
        for task, worker in self._running.items():
            if worker.calls and all(map(_all_done, worker.calls.values())):
                task.cancel()
        if unanswered:
            self._arm(unanswered[0][0] + self._deadline)

    def _give_up(self, future: "asyncio.Future[Value | None]", now: float) -> None:
        if future.done():
            return
        if now - self._answered_at < self._deadline:
            future.set_exception(OverloadedError("the store answers, but not all lookups in time"))
        else:
            future.set_exception(DeadlineError(f"no answer within {self._deadline:g} s"))


def _all_done(futures: Sequence["asyncio.Future[Value | None]"]) -> bool:
    return all(future.done() for future in futures)
