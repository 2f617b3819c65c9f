"""A check of durability: a commit must be on disk before the response is sent."""

import asyncio
from typing import Final

from repair_writer.store.transaction import Pool, commit_mode
from service_runtime.logs import get
from service_runtime.postgres import is_infrastructure

#: Both put a commit on the primary's disk, and on the standby's where there is one.
_DURABLE: Final = frozenset({"on", "remote_apply"})
_PAUSE_SECONDS: Final = 1.0


class NotDurableError(Exception):
    """Commits return before they are on disk. A crash would lose accepted changes."""


async def insist_on_durability(pool: Pool) -> None:
    """Return once a session of the pool commits to disk. Retry while Postgres is unavailable.

    Raises NotDurableError, which ends the process: an absent writer is safer than data loss.
    Each session requests `synchronous_commit=on`, but a pooler in between may drop the setting.
    """
    while True:
        try:
            mode = await commit_mode(pool)
        except Exception as error:
            if not is_infrastructure(error):
                raise
            get().warning("durability_unknown_yet", error=repr(error)[:500])
            await asyncio.sleep(_PAUSE_SECONDS)
            continue
        if mode not in _DURABLE:
            raise NotDurableError(
                f"synchronous_commit is {mode}: set it to on for the writer's role and database, "
                "and let a connection pooler pass it through"
            )
        return
