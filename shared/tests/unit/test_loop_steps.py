import asyncio

from service_runtime.testing import LoopSteps


async def test_the_longest_step_between_two_waits_is_found() -> None:
    used = 0

    async def work() -> None:
        nonlocal used
        for part in (3, 5, 2):
            used += part
            await asyncio.sleep(0)

    with LoopSteps(asyncio.get_running_loop(), lambda: used) as steps:
        await asyncio.create_task(work())
        assert steps.longest == 5
        assert steps.longest_step
        steps.forget()
        await asyncio.sleep(0)
        assert steps.longest == 0
