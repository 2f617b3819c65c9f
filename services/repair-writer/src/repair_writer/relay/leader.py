"""Leadership: the relay that holds the lock sends; the lock lives as long as its connection.

The connection that holds the lock is also the one that reads the outbox: who has lost the lock
can read nothing more, and so sends nothing more.
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
    """Wait, but no longer than until `stop`; say whether it is set."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True


@asynccontextmanager
async def leadership(
    url: str, stop: asyncio.Event, alive: Callable[[], None]
) -> AsyncIterator["LeaderConnection | None"]:
    """Wait to be the leader and yield the connection that is; None when told to stop first.

    `alive` is called while waiting. Raises what Postgres raises when it is away.
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
        # Closing gives the lock back; a dead connection must not delay the next attempt.
        try:
            await connection.close(timeout=_CLOSE_SECONDS)
        except (TimeoutError, OSError):
            connection.terminate()
