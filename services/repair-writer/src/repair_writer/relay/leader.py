"""Leadership: the relay with the lock sends, and the lock ends with its connection.

The connection with the lock also reads the outbox. A relay that has lost the lock can therefore
neither read nor send further rows.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from repair_writer.relay.metrics import LEADER
from repair_writer.store.outbox import LeaderConnection, connect_leader, try_to_lead
from service_runtime.logs import get

_ASK_AGAIN_SECONDS: Final = 0.5
_CLOSE_SECONDS: Final = 2.0


async def pause(stop: asyncio.Event, seconds: float) -> bool:
    """Wait for `seconds`, or until `stop` is set. Return whether it is set."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True


@asynccontextmanager
async def leadership(
    url: str, stop: asyncio.Event, alive: Callable[[], None]
) -> AsyncIterator["LeaderConnection | None"]:
    """Wait for the lock and yield its connection. Yield None if `stop` is set first.

    `alive` is called during the wait. Raises the driver's error when Postgres is unavailable.
    """
    connection = await connect_leader(url)
    try:
        led = await try_to_lead(connection)
        if not led:
            get().info("relay_waits_for_leader")
        while not led and not await pause(stop, _ASK_AGAIN_SECONDS):
            alive()
            led = await try_to_lead(connection)
        LEADER.set(int(led))
        if led:
            get().info("relay_leads")
        yield connection if led else None
    finally:
        LEADER.set(0)
        # Closing releases the lock. A dead connection must not delay the next attempt.
        try:
            await connection.close(timeout=_CLOSE_SECONDS)
        except (TimeoutError, OSError):
            connection.terminate()
