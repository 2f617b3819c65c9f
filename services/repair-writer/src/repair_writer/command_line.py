"""Helpers of the command line: work on the database, errors as sentences, tables."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from repair_writer.api.settings import AdminCommandSettings
from repair_writer.key_admin import KeyRefusedError
from repair_writer.store.transaction import Pool
from service_runtime.postgres import create_pool, is_infrastructure
from service_runtime.settings import load
from service_runtime.terminal import printable

_STATEMENT_SECONDS: Final = 30.0
ResultT = TypeVar("ResultT")


def on_database(work: Callable[[Pool], Coroutine[Any, Any, ResultT]]) -> ResultT:
    """Run this on a pool of one connection; errors as `or_give_up` tells them."""
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
    """Run it; print what an operator can mend as a sentence, without a traceback, and exit with 1."""
    try:
        return work()
    except KeyRefusedError as error:
        reason = str(error)
    except Exception as error:
        if not is_infrastructure(error):
            raise
        reason = f"Postgres did not do it: {error!r}"
    typer.echo(printable(reason), err=True)
    raise typer.Exit(1)


def give_up(reason: str) -> None:
    """Print why it was not done, and exit with 1."""
    typer.echo(printable(reason), err=True)
    raise typer.Exit(1)


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print stored values as they are: `Text` takes no markup from them."""
    table = Table(*(rows[0] if rows else ("nothing",)))
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row.values()))
    Console().print(table)


def _cell(value: object) -> str:
    """Return a value as one printable text."""
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    elif isinstance(value, dict):
        value = json.dumps(value) if value else ""
    return printable("" if value is None else str(value))
