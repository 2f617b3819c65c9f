"""However long an answer is, it is made in small steps: what is counted is calls, never time."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import Any

import pytest

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
    async with api.client.get(url, headers=api.page_headers(1)) as answer:  # what is made once
        assert answer.status == 200
    with counted_steps() as steps:
        async with api.client.get(url, headers=api.page_headers(1)) as answer:
            assert len(await answer.read()) > 10_000
    assert steps.longest <= MOST_CALLS, steps.longest_step
