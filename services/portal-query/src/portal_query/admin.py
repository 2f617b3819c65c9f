"""The command line of the read side: `portal-query migrate`, `refold`, `verify`, `parked`, `dead-letters`."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final, TypeVar

import typer

from portal_query.projector.admin import or_give_up, register
from portal_query.projector.settings import ReadModelSettings
from portal_query.read_model import letters, standing
from portal_query.read_model.postgres import Connection, Line
from service_runtime.clock import rfc3339
from service_runtime.command_line import fail, show_rows
from service_runtime.settings import load

_SHOWN_BYTES: Final = 2_000

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
dead = typer.Typer(no_args_is_help=True, help="Records that are no part of any list.")
app.add_typer(dead, name="dead-letters")
register(app)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ResultT = TypeVar("ResultT")


@app.command()
def migrate() -> None:
    """Bring the tables to the state that this version needs. May be run again at any time."""
    from portal_query.migrations import migrate as migrate_tables  # noqa: PLC0415 - slow, seldom needed

    url = load(ReadModelSettings).portal_database_url.get_secret_value()
    or_give_up(lambda: migrate_tables(url))
    typer.echo("The read model's tables are up to date.")


@app.command("parked")
def list_parked(as_json: AsJson = False) -> None:
    """List the customers whose list cannot be folded, and why."""
    rows = _on_read_model(standing.parked)
    shown = [
        {
            "customer_id": row.customer_id,
            "revision": row.revision,
            "parked_at": rfc3339(row.parked_at),
            "reason": row.reason,
        }
        for row in rows
    ]
    show_rows(shown, as_json=as_json, empty="No customer is parked.")


@dead.command("list")
def list_letters(
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50, as_json: AsJson = False
) -> None:
    """List the newest dead letters."""
    kept = _on_read_model(lambda connection: letters.newest(connection, limit))
    shown = ("id", "seen_at", "partition", "offset", "customer_id", "reason")
    rows = [_letter(one) for one in kept]
    show_rows(rows, shown, as_json=as_json, empty="There is no dead letter.")


@dead.command("show")
def show_letter(letter_id: Annotated[int, typer.Argument(min=1)]) -> None:
    """Print one dead letter with the bytes of its record."""
    found = _on_read_model(lambda connection: letters.one(connection, letter_id))
    if found is None:
        fail(f"There is no dead letter {letter_id}.")
    typer.echo(json.dumps(_letter(found, whole=True), indent=2))


def main() -> None:
    """Run the command line."""
    app()


def _letter(kept: letters.KeptLetter, *, whole: bool = False) -> dict[str, Any]:
    at = kept.letter
    size = None if whole else _SHOWN_BYTES
    return {
        "id": kept.id,
        "topic": at.topic,
        "partition": at.partition,
        "offset": at.offset,
        "customer_id": at.customer_id,
        "reason": at.reason,
        "seen_at": rfc3339(kept.seen_at),
        "key": None if at.key is None else at.key[:size].decode(errors="backslashreplace"),
        "value": None if at.value is None else at.value[:size].decode(errors="backslashreplace"),
    }


def _on_read_model(work: Callable[[Connection], Coroutine[Any, Any, ResultT]]) -> ResultT:
    settings = load(ReadModelSettings)

    async def go() -> ResultT:
        line = Line(settings.portal_database_url.get_secret_value(), name="portal-query admin")
        try:
            async with line.connection() as connection:
                return await work(connection)
        finally:
            line.drop()

    return or_give_up(lambda: asyncio.run(go()))


if __name__ == "__main__":
    main()
