"""Watchdog: it tells a failing store from a failing process; it counts checks, not seconds."""

import asyncio

import pytest

from service_runtime import lifecycle
from service_runtime.errors import OverloadedError
from service_runtime.metrics import REGISTRY
from service_runtime.ops import Health
from service_runtime.testing import eventually
from service_runtime.watchdog import STUCK_STATUS, StuckError, Watchdog


class Part:
    """One side of a path: it works, or raises the given error."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.calls = 0

    async def __call__(self) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error


def watchdog(check: Part, control: Part, *, required: bool = True) -> tuple[Watchdog, Health]:
    health = Health()
    made = Watchdog(health, every_seconds=0)
    made.watch("sessions", check, control, required=required)
    return made, health


async def test_a_path_that_works_is_ready_and_the_control_is_left_alone() -> None:
    check, control = Part(), Part()
    made, health = watchdog(check, control)
    for _ in range(30):
        await made._paths[0].look()
    assert await health.faults() == {}
    assert control.calls == 0


@pytest.mark.parametrize("error", [TimeoutError(), OverloadedError("all 2 connections")])
async def test_a_process_that_fails_alone_is_not_ready_and_ends(error: Exception) -> None:
    made, health = watchdog(Part(error), Part())
    for _ in range(10):
        await made._paths[0].look()
    faults = await health.faults()
    assert "while a new connection works" in faults["sessions"]
    assert REGISTRY.get_sample_value("repair_path_stuck", {"path": "sessions"}) == 1
    with pytest.raises(ExceptionGroup) as caught:
        await made.run()
    assert caught.group_contains(StuckError)


async def test_a_store_that_is_unavailable_is_waited_for() -> None:
    down = ConnectionRefusedError("nobody there")
    check, control = Part(down), Part(down)
    made, health = watchdog(check, control)
    running = asyncio.create_task(made.run())

    async def asked_often() -> bool:
        return control.calls > 50

    await eventually(asked_often, "the control has been asked", every=0)
    assert not running.done()
    assert (await health.faults())["sessions"] == "nobody there"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_path_that_recovers_starts_from_the_beginning() -> None:
    check = Part(TimeoutError())
    made, health = watchdog(check, Part())
    path = made._paths[0]
    for _ in range(15):
        await path.look()
    assert path.stuck
    check.error = None
    await path.look()
    assert (path.stuck, path.failures) == ("", 0)
    assert await health.faults() == {}


async def test_a_store_that_came_back_a_moment_ago_ends_nobody() -> None:
    check, control = Part(TimeoutError()), Part(TimeoutError())
    made, _ = watchdog(check, control)
    path = made._paths[0]
    for _ in range(500):
        await path.look()
    control.error = None
    await path.look()
    assert path.stuck
    assert path.failures < 20  # it still has ten checks to recover in


async def test_what_a_process_can_do_without_is_named_only_when_it_is_to_blame() -> None:
    control = Part(TimeoutError())
    made, health = watchdog(Part(TimeoutError()), control, required=False)
    for _ in range(30):
        await made._paths[0].look()
    assert await health.faults() == {}
    control.error = None
    await made._paths[0].look()
    assert "sessions" in await health.faults()


def test_a_stuck_process_ends_with_a_status_of_its_own() -> None:
    async def stuck(_: asyncio.Event) -> None:
        async with lifecycle.background(watchdog(Part(TimeoutError()), Part())[0].run()):
            await asyncio.Event().wait()

    with pytest.raises(SystemExit) as ended:
        lifecycle.run(stuck)
    assert ended.value.code == STUCK_STATUS
