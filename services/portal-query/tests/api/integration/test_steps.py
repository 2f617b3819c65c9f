"""Long responses are built in short steps: the tests count calls and bytes of memory, never time."""

import asyncio
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import Any

import pytest

from portal_query.document import render
from portal_query.read_model.counts import load_counts, render_all
from service_runtime.testing import LoopSteps

LONG = 400
#: A step of so many calls takes some 2 ms; in one step these pages take up to 150 000.
MOST_CALLS = 6_000


@contextmanager
def counted_steps() -> Iterator[LoopSteps]:
    """Count the calls of Python and of C functions in each step of this loop."""
    calls = 0

    def count(_: FrameType, event: str, __: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        with LoopSteps(asyncio.get_running_loop(), lambda: calls) as steps:
            yield steps
    finally:
        sys.setprofile(None)


@contextmanager
def peaks_of_memory() -> Iterator[LoopSteps]:
    """Measure how many bytes each step of this loop takes beyond those in use before it."""

    def peak() -> int:
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        return highest

    tracemalloc.start()
    try:
        with LoopSteps(asyncio.get_running_loop(), peak) as steps:
            yield steps
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "path",
    [
        "/customer/repairs/?view=print",
        "/customer/repairs/?limit=200",
        "/customer/api/repairs/?limit=200",
        "/customer/api/repairs/export.csv",
        "/customer/repairs/{repair_id}/",
        "/customer/api/docs/",
    ],
)
async def test_a_long_answer_is_made_in_small_steps(
    api: Any, read_model: Any, repair: Any, path: str
) -> None:
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
    repairs = [repair(f"U{n}", "PENDING", moment, description="chip " * 20) for n in range(LONG)]
    await read_model.put(1, repairs)
    changes = ["status-changed"] * LONG
    await read_model.history(1, repairs[0].repair_id, *changes)
    url = api.url + path.format(repair_id=repairs[0].repair_id)
    async with api.client.get(url, headers=api.page_headers(1)) as answer:  # created once
        assert answer.status == 200
    with counted_steps() as steps:
        async with api.client.get(url, headers=api.page_headers(1)) as answer:
            assert len(await answer.read()) > 10_000
    assert steps.longest <= MOST_CALLS, steps.longest_step


UNITS = 3_000


async def test_a_dashboard_reads_the_units_that_it_shows_only(
    api: Any, read_model: Any, repair: Any
) -> None:
    """A parsed unit takes more than 200 bytes of memory, one in the list's text less than 50."""
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
    await read_model.put(1, [repair(f"U{n}", "PENDING", moment) for n in range(UNITS)])
    await read_model.publish(1)
    url, headers = f"{api.url}/customer/dashboard/", api.page_headers(1)
    async with api.client.get(url, headers=headers) as answer:  # what is made once
        assert "All 3,000 units as a table" in await answer.text()
    with peaks_of_memory() as steps:
        async with api.client.get(url, headers=headers) as answer:
            assert f"3,000 repairs on {UNITS:,} units; U0 has most" in await answer.text()
    assert steps.longest < UNITS * 150, steps.longest_step


async def test_counts_without_redis_are_rendered_in_parts(read_model: Any, repair: Any) -> None:
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
    await read_model.put(1, [repair(f"U{n}", "PENDING", moment) for n in range(UNITS)])
    counts = await load_counts(read_model.connection, [1])
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(others())
    (document,) = await render_all(counts)
    other.cancel()
    assert document == render(counts[0])
    assert turns >= UNITS / 1_000


async def test_a_long_page_is_never_copied_whole(api: Any, read_model: Any, repair: Any) -> None:
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
    repairs = [repair(f"U{n}", "PENDING", moment, description="x" * 4_000) for n in range(LONG)]
    await read_model.put(1, repairs)
    url, headers = f"{api.url}/customer/repairs/?view=print", api.page_headers(1)
    size = 0
    with peaks_of_memory() as steps:
        async with api.client.get(url, headers=headers) as answer:
            async for part in answer.content.iter_any():
                size += len(part)
            assert size == int(answer.headers["Content-Length"])
    assert size > LONG * 4_000
    assert steps.longest < size / 2, steps.longest_step
