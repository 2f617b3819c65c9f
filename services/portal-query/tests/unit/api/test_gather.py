import asyncio
from collections.abc import Sequence

import pytest

from portal_query.read_model.gather import Gather


async def test_questions_of_a_moment_go_out_together_and_later_ones_afterwards() -> None:
    asked: list[list[int]] = []
    go = asyncio.Event()

    async def fetch(keys: Sequence[int]) -> dict[int, str]:
        asked.append(list(keys))
        await go.wait()
        return {key: str(key) for key in keys if key < 3}

    gather = Gather(fetch, parallel=1, size=10)
    first = [asyncio.ensure_future(gather.ask(key)) for key in (1, 2, 1, 3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    second = asyncio.ensure_future(gather.ask(1))
    await asyncio.sleep(0)
    go.set()
    assert await asyncio.gather(*first, second) == ["1", "2", "1", None, "1"]
    assert asked == [[1, 2, 3], [1]]


async def test_too_many_keys_go_out_in_parts() -> None:
    asked: list[list[int]] = []

    async def fetch(keys: Sequence[int]) -> dict[int, int]:
        asked.append(list(keys))
        return {key: key for key in keys}

    gather = Gather(fetch, parallel=1, size=4)
    assert await asyncio.gather(*(gather.ask(n) for n in range(10))) == list(range(10))
    assert [len(part) for part in asked] == [4, 4, 2]


async def test_what_fails_is_raised_to_all_who_asked_and_to_nobody_later() -> None:
    fails = True

    async def fetch(keys: Sequence[int]) -> dict[int, int]:
        if fails:
            raise LookupError("away")
        return {key: key for key in keys}

    gather = Gather(fetch, parallel=2, size=4)
    answers = await asyncio.gather(gather.ask(1), gather.ask(2), return_exceptions=True)
    assert [type(answer) for answer in answers] == [LookupError, LookupError]
    with pytest.raises(LookupError):
        await gather.ask(1)
    fails = False
    assert await gather.ask(1) == 1


async def test_who_leaves_takes_nobody_with_him() -> None:
    go = asyncio.Event()

    async def fetch(keys: Sequence[int]) -> dict[int, int]:
        await go.wait()
        return {key: key for key in keys}

    gather = Gather(fetch, parallel=1, size=4)
    leaving, staying = (asyncio.ensure_future(gather.ask(1)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)
    go.set()
    assert await staying == 1
    assert leaving.cancelled()
