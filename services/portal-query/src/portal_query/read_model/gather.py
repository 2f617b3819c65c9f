"""Questions of the same moment, asked together.

While a question is under way, those that come in wait and go out together afterwards. Nobody is
ever answered by a question that was sent before he asked, so what he gets is never older than his
asking.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Generic, TypeVar

Key = TypeVar("Key")
Found = TypeVar("Found")


class Gather(Generic[Key, Found]):
    """Asks `fetch` for many keys at once: at most `size` a time, `parallel` times at once.

    `fetch` returns what it found, by key; what it raises, all who waited for it get.
    """

    def __init__(
        self,
        fetch: Callable[[Sequence[Key]], Awaitable[Mapping[Key, Found]]],
        *,
        parallel: int,
        size: int,
    ) -> None:
        self._fetch = fetch
        self._parallel = parallel
        self._size = size
        self._asked: dict[Key, list[asyncio.Future[Found | None]]] = {}
        self._running = 0
        self._workers: set[asyncio.Task[None]] = set()

    async def ask(self, key: Key) -> Found | None:
        """Return what is found for the key, None for nothing; raises what `fetch` raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Found | None] = loop.create_future()
        self._asked.setdefault(key, []).append(future)
        if self._running < self._parallel:
            self._running += 1
            worker = loop.create_task(self._work())
            self._workers.add(worker)  # the loop itself would let it be collected
            worker.add_done_callback(self._workers.discard)
        return await future

    async def _work(self) -> None:
        # Runs on a later turn of the loop, when all of this turn have asked.
        while self._asked:
            batch = self._take()
            try:
                found = await self._fetch(list(batch))
            except Exception as error:  # noqa: BLE001 - it belongs to those who asked
                for future in _waiting(batch.values()):
                    future.set_exception(error)
            else:
                for key, futures in batch.items():
                    for future in _waiting([futures]):
                        future.set_result(found.get(key))
        # In the same step as the look at `_asked`: who asks from now on starts a worker.
        self._running -= 1

    def _take(self) -> dict[Key, list["asyncio.Future[Found | None]"]]:
        if len(self._asked) <= self._size:
            batch, self._asked = self._asked, {}
            return batch
        keys = list(islice(self._asked, self._size))
        return {key: self._asked.pop(key) for key in keys}


def _waiting(
    groups: Iterable[list["asyncio.Future[Found | None]"]],
) -> Iterable["asyncio.Future[Found | None]"]:
    """Return those who still wait: whoever left has cancelled his future."""
    return (future for futures in groups for future in futures if not future.done())
