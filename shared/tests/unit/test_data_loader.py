"""DataLoader: its guarantees to callers, and completeness however its workers end."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from service_runtime.data_loader import DataLoader, DeadlineError, LoadAbortedError
from service_runtime.errors import OverloadedError

LONG = 5.0


class Store:
    """A store with two connections; `load` is the test's function."""

    def __init__(self) -> None:
        self.idle = [1, 2]
        self.batches: list[list[int]] = []
        self.go = asyncio.Event()
        self.go.set()
        self.taking = asyncio.Event()
        self.taking.set()
        self.fails: BaseException | None = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[int]:
        one = self.idle.pop()
        try:
            await self.taking.wait()
            yield one
        finally:
            self.idle.append(one)

    async def load(self, _: int, keys: Sequence[int]) -> dict[int, str]:
        self.batches.append(list(keys))
        await self.go.wait()
        if self.fails is not None:
            raise self.fails
        return {key: str(key) for key in keys if key < 1000}

    def loader(
        self, *, parallel: int = 2, size: int = 10, waiting: int = 100, deadline: float = LONG
    ) -> "DataLoader[int, str, int]":
        return DataLoader(
            self.connection,
            self.load,
            parallel=parallel,
            batch_size=size,
            waiting=waiting,
            deadline_seconds=deadline,
        )


def workers() -> list["asyncio.Task[object]"]:
    return [task for task in asyncio.all_tasks() if "DataLoader._work" in repr(task)]


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_calls_of_a_moment_are_one_batch_and_none_joins_a_batch_in_flight() -> None:
    store = Store()
    store.go.clear()
    loader = store.loader(parallel=1)
    first = [loader.load(key) for key in (1, 2, 1, 1003)]
    await turns(2)
    second = loader.load(1)
    store.go.set()
    assert await asyncio.gather(*first, second) == ["1", "2", "1", None, "1"]
    assert store.batches == [[1, 2, 1003], [1]]


async def test_a_second_batch_goes_out_beside_the_first() -> None:
    store = Store()
    store.go.clear()
    loader = store.loader()
    first = loader.load(1)
    await turns(2)
    second = loader.load(2)
    await turns(2)
    assert store.batches == [[1], [2]]
    store.go.set()
    assert [await first, await second] == ["1", "2"]


async def test_too_many_keys_go_out_in_parts() -> None:
    store = Store()
    loader = store.loader(size=4)
    assert await asyncio.gather(*map(loader.load, range(10))) == list(map(str, range(10)))
    assert sorted(map(len, store.batches)) == [2, 4, 4]


async def test_what_fails_is_raised_to_the_callers_of_the_batch_and_to_nobody_later() -> None:
    store = Store()
    store.fails = LookupError("no table")
    loader = store.loader()
    answers = await asyncio.gather(loader.load(1), loader.load(2), return_exceptions=True)
    assert [type(answer) for answer in answers] == [LookupError, LookupError]
    store.fails = None
    assert await loader.load(1) == "1"
    assert len(store.idle) == 2


async def test_a_caller_that_leaves_takes_nobody_with_it() -> None:
    store = Store()
    store.go.clear()
    loader = store.loader()
    leaving, staying = loader.load(1), loader.load(1)
    await turns(2)
    leaving.cancel()
    store.go.set()
    assert await staying == "1"


@pytest.mark.parametrize("step", range(5))
async def test_a_worker_cancelled_at_any_step_loses_nothing(step: int) -> None:
    store = Store()
    loader = store.loader()
    for _ in range(20):  # more often than there are connections
        call = loader.load(1)
        await turns(step)
        for worker in workers():
            worker.cancel()
        found = (await asyncio.gather(call, return_exceptions=True))[0]
        assert found == "1" or isinstance(found, LoadAbortedError)
    assert await loader.load(2) == "2"
    await turns(3)
    assert len(store.idle) == 2


async def test_a_worker_cancelled_before_its_first_step_leaves_its_call_to_the_next() -> None:
    loader = Store().loader()
    call = loader.load(1)
    for worker in workers():
        worker.cancel()
    assert await call == "1"


class HaltError(BaseException):
    pass


async def test_every_caller_gets_an_answer_whatever_ends_the_worker() -> None:
    store = Store()
    store.fails = HaltError()
    loader = store.loader()
    with pytest.raises(LoadAbortedError):
        await loader.load(1)
    store.fails = None
    assert await loader.load(1) == "1"


async def test_a_store_that_is_silent_costs_a_call_its_deadline_and_no_connection() -> None:
    store = Store()
    store.go.clear()
    loader = store.loader(deadline=0.05)
    for _ in range(3):
        with pytest.raises(DeadlineError):
            await loader.load(1)
    store.go.set()
    assert await loader.load(1) == "1"
    await turns(3)
    assert len(store.idle) == 2


async def test_connecting_goes_on_when_its_callers_have_been_given_up() -> None:
    store = Store()
    store.taking.clear()
    loader = store.loader(parallel=1, deadline=0.05)
    with pytest.raises(DeadlineError):
        await loader.load(1)
    again = loader.load(2)
    store.taking.set()
    assert await again == "2"
    assert store.batches == [[2]]  # the abandoned call is not looked up


async def test_a_process_that_stalls_is_not_taken_for_a_store_that_is_silent() -> None:
    store = Store()
    loader = store.loader(deadline=0.1)
    for seconds in (0.12, 0.2, 0.3):
        call = loader.load(1)
        asyncio.get_running_loop().call_soon(time.sleep, seconds)
        assert await call == "1"
    assert len(store.idle) == 2


async def test_more_calls_than_may_wait_are_refused_as_overload() -> None:
    store = Store()
    store.go.clear()
    loader = store.loader(parallel=1, waiting=3)
    flying = loader.load(1)
    await turns(2)
    waiting = [loader.load(key) for key in (2, 2, 3)]
    with pytest.raises(OverloadedError):
        await loader.load(4)
    store.go.set()
    assert await asyncio.gather(flying, *waiting) == ["1", "2", "2", "3"]


async def test_a_call_not_served_while_others_are_is_overload_and_no_absence() -> None:
    store = Store()
    loader = store.loader(parallel=1, size=1, deadline=0.2)

    async def slow(_: int, keys: Sequence[int]) -> dict[int, str]:
        await asyncio.sleep(0.05)
        return {key: str(key) for key in keys}

    loader._load = slow
    answers = await asyncio.gather(*map(loader.load, range(20)), return_exceptions=True)
    assert answers[0] == "0"
    assert isinstance(answers[-1], OverloadedError)


async def test_what_cannot_be_acquired_is_told_to_those_who_wait() -> None:
    store = Store()
    loader = store.loader(parallel=1)
    store.idle.clear()
    with pytest.raises(IndexError):
        await loader.load(1)
    store.idle.append(1)
    assert await loader.load(1) == "1"


async def test_a_check_is_a_lookup_and_content_with_another_one_that_was_answered() -> None:
    store = Store()
    loader = store.loader(parallel=1, waiting=1)
    assert await loader.load(1) == "1"
    store.go.clear()
    flying = loader.load(1)
    await turns(2)
    waiting = loader.load(2)
    await loader.check(3)  # rejected for overload, and another succeeded a moment ago
    loader._answered_at -= 60
    with pytest.raises(OverloadedError):
        await loader.check(3)
    store.go.set()
    await asyncio.gather(flying, waiting)


@pytest.mark.parametrize("prepare", [lambda _: None, lambda store: store.go.clear()])
async def test_closing_answers_everybody(prepare: Callable[[Store], None]) -> None:
    store = Store()
    prepare(store)
    loader = store.loader(parallel=1)
    calls = [loader.load(1)]
    await turns(2)
    calls.append(loader.load(2))
    await loader.close()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(answer in ("1", "2") or isinstance(answer, LoadAbortedError) for answer in answers)
    with pytest.raises(LoadAbortedError):
        await loader.load(3)
    assert len(store.idle) == 2
