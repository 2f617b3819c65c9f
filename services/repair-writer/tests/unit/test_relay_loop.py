"""The relay's loop: a task returns its resources however it ends."""

import asyncio
from typing import Any

from repair_writer.relay.lanes import Lanes
from repair_writer.relay.loop import Loop, lane_of, new_lanes
from repair_writer.store.outbox import OutboxRow
from service_runtime.clock import SystemClock


class NeverSends:
    async def send(self, *_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    async def close(self) -> None:
        pass


def relaying(lanes: Lanes) -> Loop:
    postgres: Any = None  # nothing is read or deleted
    return Loop(
        postgres, postgres, producer=NeverSends(), topic="t", lanes=lanes, clock=SystemClock()
    )


async def test_a_send_cancelled_before_its_first_step_gives_its_lane_back() -> None:
    lanes = new_lanes()
    loop = relaying(lanes)
    row = OutboxRow(1, 7, b"{}")
    task = loop._start(lane_of(7)[0], [row], 0.0)
    assert list(lanes.under_way()) == [1]
    task.cancel()
    await asyncio.wait([task])

    await loop._settle()

    assert list(lanes.under_way()) == []  # so the row is read, and sent, once more
    assert loop._spoiled


async def test_a_delete_cancelled_before_its_first_step_is_done_again() -> None:
    async def delete() -> None:
        raise AssertionError("cancelled before its first step")

    loop = relaying(new_lanes())
    loop._delete, loop._deleting = asyncio.create_task(delete()), [1]
    loop._delete.cancel()

    await loop._delete_done()

    assert not loop._deleting
