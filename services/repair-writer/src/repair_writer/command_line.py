"""Access of the command line to the database, and the messages of its errors."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from repair_writer.api.settings import AdminCommandSettings
from repair_writer.key_admin import KeyRefusedError
from repair_writer.store.transaction import Pool
from service_runtime.command_line import fail
from service_runtime.postgres import create_pool, is_infrastructure
from service_runtime.settings import load

_STATEMENT_SECONDS: Final = 30.0
ResultT = TypeVar("ResultT")


def on_database(work: Callable[[Pool], Coroutine[Any, Any, ResultT]]) -> ResultT:
    """Run `work` on a pool of one connection and return its result.

    Errors are handled as in `or_give_up`. A statement may take 30 seconds.
    """
    settings = load(AdminCommandSettings)

    async def run() -> ResultT:
        pool = await create_pool(
            settings.writer_database_url,
            name="repair-writer-admin",
            size=1,
            statement_seconds=_STATEMENT_SECONDS,
        )
        async with pool:
            return await work(pool)

    return or_give_up(lambda: asyncio.run(run()))


def or_give_up(work: Callable[[], ResultT]) -> ResultT:
    """Run `work` and return its result. Print an error that an operator can correct.

    Such an error is printed without a traceback. Raises `typer.Exit` with code 1.
    Any other error is raised unchanged.
    """
    try:
        return work()
    except KeyRefusedError as error:
        reason = str(error)
    except Exception as error:
        if not is_infrastructure(error):
            raise
        reason = f"Postgres did not do it: {error!r}"
    return fail(reason)
