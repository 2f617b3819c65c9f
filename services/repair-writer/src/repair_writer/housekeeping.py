"""Periodic work of the writer: delete old outcomes and record the use of API keys."""

import asyncio
from typing import Final

from repair_writer.callers import KeyRing
from repair_writer.store.answers import purge_outcomes
from repair_writer.store.transaction import Pool
from service_runtime.logs import get
from service_runtime.postgres import is_infrastructure

_EVERY_SECONDS: Final = 20.0
#: More than 800 commands a second store in one round; deleted in one short transaction.
_BATCH: Final = 20_000


async def keep_house(pool: Pool, keys: KeyRing) -> None:
    """Run the periodic work every twenty seconds, without end.

    If Postgres is unavailable, the work waits for the next round. Other errors are raised.
    """
    while True:
        await asyncio.sleep(_EVERY_SECONDS)
        try:
            await keys.note_uses()
            await purge_outcomes(pool, _BATCH)
        except Exception as error:
            if not is_infrastructure(error):
                raise
            get().warning("housekeeping_put_off", error=repr(error)[:500])
