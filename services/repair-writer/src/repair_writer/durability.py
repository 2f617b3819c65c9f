"""The writer's promise is worth what a commit is worth: it must be on the disk before it is answered."""

import asyncio
from typing import Final

from repair_writer.store.transaction import Pool, commit_mode
from service_runtime.logs import get
from service_runtime.postgres import is_infrastructure

#: Both say that the commit is on the primary's disk, and on the standby's where there is one.
_DURABLE: Final = frozenset({"on", "remote_apply"})
_PAUSE_SECONDS: Final = 1.0


class NotDurableError(Exception):
    """Commits are answered before they are on the disk: a crash would lose what was promised."""


async def insist_on_durability(pool: Pool) -> None:
    """Return when a session of the pool commits to the disk; a Postgres that is away is waited for.

    Raises NotDurableError, which ends the process: rather no writer than one that forgets. Every
    session asks for `synchronous_commit=on`, but a pooler in between may drop what it asks for.
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
