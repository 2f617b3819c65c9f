"""The writer's command line: `repair-writer migrate`, `keys ...`, `audit ...`, and the relay's commands."""

import json
from typing import Final

import typer

from repair_writer.api.settings import AdminCommandSettings
from repair_writer.command_line import on_database, or_give_up
from repair_writer.key_commands import audit, keys
from repair_writer.relay.admin import register
from repair_writer.store.checking import measure_lists
from repair_writer.store.transaction import Pool
from service_runtime.command_line import fail
from service_runtime.settings import load

_LISTS_A_PAGE: Final = 200

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
app.add_typer(keys, name="keys")
app.add_typer(audit, name="audit")
register(app)


@app.command()
def migrate() -> None:
    """Bring the tables to the state that this version needs. May be run again at any time."""
    from repair_writer.migrations import migrate as migrate_tables  # noqa: PLC0415 - slow, seldom needed

    settings = load(AdminCommandSettings)
    or_give_up(lambda: migrate_tables(settings.writer_database_url))
    typer.echo("The writer's tables are up to date.")


@app.command()
def verify() -> None:
    """Check that each list is numbered without a gap and ends at its head; changes nothing."""

    async def measure(pool: Pool) -> tuple[int, int]:
        after, lists, broken = 0, 0, 0
        while page := await measure_lists(pool, after, _LISTS_A_PAGE):
            after, lists = page[-1].customer_id, lists + len(page)
            for one in page:
                if one.trouble is not None:
                    broken += 1
                    typer.echo(f"customer {one.customer_id}: {one.trouble}")
        return lists, broken

    lists, broken = on_database(measure)
    if broken:
        fail(f"{broken} of {lists} lists are broken. See docs/operating.md, Parked customers.")
    typer.echo(f"{lists} lists are whole.")


@app.command("openapi")
def print_document() -> None:
    """Print the OpenAPI document of the API."""
    from repair_writer.api.app import openapi_document  # noqa: PLC0415 - slow, seldom needed

    typer.echo(json.dumps(openapi_document(), indent=2, ensure_ascii=False))


def main() -> None:
    """Run the command line."""
    app()
