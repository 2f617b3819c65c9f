"""End of a process's jobs: all of them end, even those that lose a cancellation."""

import asyncio

import pytest

from service_runtime.lifecycle import background


async def deaf() -> None:
    """Lose the first cancellation, as a driver's `wait_for` may."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.Event().wait()


async def test_a_job_that_loses_a_cancellation_ends_all_the_same() -> None:
    async with asyncio.timeout(10), background(deaf(), deaf()):
        await asyncio.sleep(0)


async def test_a_job_that_fails_ends_the_block_and_the_other_jobs() -> None:
    async def fails() -> None:
        raise ValueError("broken")

    with pytest.raises(ExceptionGroup) as raised:
        async with asyncio.timeout(10), background(deaf(), fails()):
            await asyncio.Event().wait()

    assert [str(error) for error in raised.value.exceptions] == ["broken"]


async def test_a_job_that_something_else_has_cancelled_ends_the_block() -> None:
    async def job() -> None:
        await asyncio.Event().wait()

    async def process() -> None:
        async with background(job()):
            (task,) = [one for one in asyncio.all_tasks() if ".job" in repr(one)]
            task.cancel()  # before its first step, as any later one
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup, match="unhandled"):
        await process()
