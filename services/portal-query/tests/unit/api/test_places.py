"""Places of streams and exports: taken by the sending task, and released however it ends."""

import asyncio
from typing import Any

import pytest

from portal_query.api.export import _FILES, Export
from portal_query.api.live import _STREAMS_A_CUSTOMER, Revisions, Streams, _Stream
from service_runtime.errors import Problem

NOBODY: Any = None


class Silent:
    """A dependency that never responds."""

    def __getattr__(self, _: str) -> Any:
        return self._never

    async def _never(self, *_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()


async def cancelled_at_each_step(make: Any) -> None:
    for step in range(6):
        task = asyncio.ensure_future(make()({"type": "http"}, Silent().receive, Silent().send))
        for _ in range(step):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_stream_that_is_cancelled_at_any_step_gives_its_place_back() -> None:
    streams = Streams(Revisions(NOBODY, Silent()), Silent(), 1)  # type: ignore[arg-type]

    await cancelled_at_each_step(lambda: _Stream(streams, 7))
    _Stream(streams, 7)  # never sent: it has taken nothing

    with streams.place(7):
        assert streams._open.total() == 1
        with pytest.raises(Problem):
            await _Stream(streams, 8)({"type": "http"}, Silent().receive, Silent().send)
    assert streams._open.total() == 0
    assert not streams._revisions._watches


async def test_the_limit_of_streams_of_a_customer_holds_for_those_of_one_moment() -> None:
    streams = Streams(Revisions(NOBODY, Silent()), Silent(), 1_000)  # type: ignore[arg-type]
    sends = [
        asyncio.ensure_future(
            _Stream(streams, 7)({"type": "http"}, Silent().receive, Silent().send)
        )
        for _ in range(_STREAMS_A_CUSTOMER + 5)
    ]
    await asyncio.sleep(0)
    assert sum(task.done() for task in sends) == 5
    for task in sends:
        task.cancel()
    await asyncio.gather(*sends, return_exceptions=True)


async def test_an_export_that_is_cancelled_at_any_step_gives_its_place_back() -> None:
    export = Export(NOBODY, NOBODY, NOBODY, NOBODY)
    export._write = Silent().write  # type: ignore[method-assign]

    await cancelled_at_each_step(lambda: lambda *asgi: export._send(7, NOBODY, *asgi))

    assert export._files == 0
    assert not export._making.locked()
    export._files = _FILES
    with pytest.raises(Problem) as full:
        await export._send(7, NOBODY, {}, NOBODY, NOBODY)
    assert full.value.code == "overloaded"
