"""The writer's command line: `repair-writer migrate`, `keys ...`, and the relay's commands."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from portal_access.scopes import parse_scopes
from repair_writer.api.app import openapi_document
from repair_writer.api.settings import AdminCommandSettings
from repair_writer.callers import (
    CLIENT_PATTERN,
    ApiKey,
    KeyRefusedError,
    adopt_key,
    create_key,
    new_key,
    parse_key,
)
from repair_writer.migrations import migrate as migrate_tables
from repair_writer.relay.admin import register
from repair_writer.store.checking import measure_lists
from repair_writer.store.keys import KeyRow, list_keys, revoke_key
from repair_writer.store.transaction import Pool, transaction
from service_runtime.postgres import create_pool, is_infrastructure
from service_runtime.settings import load
from service_runtime.terminal import printable

_DEFAULT_DAYS: Final = 180
_MAX_DAYS: Final = 366
_STATEMENT_SECONDS: Final = 30.0
_LISTS_A_PAGE: Final = 200

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
keys = typer.Typer(no_args_is_help=True, help="API keys of internal systems.")
app.add_typer(keys, name="keys")
register(app)

Client = Annotated[
    str, typer.Option("--client", help="The system that gets it: letters, digits, '.', '_', '-'.")
]
Scopes = Annotated[
    str, typer.Option("--scopes", help="repairs:write,repairs:read,customers:write,history:read")
]
Days = Annotated[int, typer.Option("--expires-days", min=1, max=_MAX_DAYS)]
ResultT = TypeVar("ResultT")


@app.command()
def migrate() -> None:
    """Bring the tables to the state that this version needs. May be run again at any time."""
    settings = load(AdminCommandSettings)
    _or_give_up(lambda: migrate_tables(settings.writer_database_url))
    typer.echo("The writer's tables are up to date.")


@keys.command("create")
def create(
    client: Client,
    scopes: Scopes,
    expires_days: Days = _DEFAULT_DAYS,
    secret_file: Annotated[
        Path | None, typer.Option(help="Write the key there (mode 600) instead of printing it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make a key. It is shown once and never again; two keys of a client may live at once."""
    wanted, key = _scopes(scopes), new_key()
    _check_client(client)
    _on_database(lambda pool: create_key(pool, key, client, wanted, expires_days))
    if secret_file is not None:
        secret_file.touch(mode=0o600, exist_ok=False)
        secret_file.write_text(key.text + "\n", encoding="utf-8")
    shown = {"id": key.key_id, "client": client, "scopes": sorted(wanted), "days": expires_days}
    if as_json:
        typer.echo(json.dumps(shown if secret_file else shown | {"key": key.text}))
    else:
        typer.echo(f"{key.key_id} is in {secret_file}" if secret_file else key.text)


@keys.command("ensure")
def ensure(
    client: Client,
    scopes: Scopes,
    key_file: Annotated[Path, typer.Option(help="The file that holds the whole key.")],
    expires_days: Days = _MAX_DAYS,
) -> None:
    """Take over a key that was made elsewhere, so that a whole system starts in one pass.

    May be run again; a key that has been revoked stays revoked.
    """
    wanted, key = _scopes(scopes), _read_key(key_file)
    _check_client(client)
    _on_database(lambda pool: adopt_key(pool, key, client, wanted, expires_days))
    typer.echo(f"{key.key_id} of {client} may {', '.join(sorted(wanted))}.")


@keys.command("list")
def show(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the keys: never their secrets, which are not kept."""

    async def read(pool: Pool) -> list[KeyRow]:
        async with transaction(pool) as connection:
            return await list_keys(connection)

    rows = [_shown(row) for row in _on_database(read)]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    table = Table(*(rows[0] if rows else ("id", "client")))
    for row in rows:
        table.add_row(
            *(
                Text(printable(", ".join(v) if isinstance(v, list) else str(v or "")))
                for v in row.values()
            )
        )
    Console().print(table)


@keys.command("revoke")
def revoke(key_id: Annotated[str, typer.Argument(help="The eight characters of the id.")]) -> None:
    """Revoke a key: the next request with it is refused."""

    async def end(pool: Pool) -> bool:
        async with transaction(pool) as connection:
            return await revoke_key(connection, key_id)

    if not _on_database(end):
        _give_up(f"There is no live key {key_id}; see `repair-writer keys list`.")
    typer.echo(f"{key_id} is revoked.")


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
                    typer.echo(printable(f"customer {one.customer_id}: {one.trouble}"))
        return lists, broken

    lists, broken = _on_database(measure)
    if broken:
        _give_up(f"{broken} of {lists} lists are broken. See docs/operating.md, Parked customers.")
    typer.echo(f"{lists} lists are whole.")


@app.command("openapi")
def print_document() -> None:
    """Print the OpenAPI document of the API, as it is committed in openapi.json."""
    typer.echo(json.dumps(openapi_document(), indent=2, ensure_ascii=False))


def main() -> None:
    """Run the command line."""
    app()


def _shown(row: KeyRow) -> dict[str, Any]:
    used = row.last_used_at
    return {
        "id": row.key_id,
        "client": row.client,
        "scopes": sorted(row.scopes),
        "state": "live" if row.live else ("revoked" if row.revoked_at else "expired"),
        "expires": row.expires_at.isoformat(timespec="seconds"),
        "last_used": None if used is None else used.isoformat(timespec="seconds"),
    }


def _scopes(text: str) -> frozenset[str]:
    try:
        return parse_scopes(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--scopes") from error


def _check_client(client: str) -> None:
    if not CLIENT_PATTERN.fullmatch(client):
        raise typer.BadParameter(
            "1 to 50 of a-z, 0-9, '.', '_', '-', beginning and ending with a letter or digit",
            param_hint="--client",
        )


def _read_key(path: Path) -> ApiKey:
    try:
        key = parse_key(path.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"cannot be read: {error}", param_hint="--key-file") from error
    if key is None:
        raise typer.BadParameter(
            "holds no key: rsw_live_<8 of a-z 0-9>_<43 of base64url>", param_hint="--key-file"
        )
    return key


def _on_database(work: Callable[[Pool], Coroutine[Any, Any, ResultT]]) -> ResultT:
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

    return _or_give_up(lambda: asyncio.run(run()))


def _or_give_up(work: Callable[[], ResultT]) -> ResultT:
    """Run it; what an operator can mend is said in a sentence, not in a traceback."""
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


def _give_up(reason: str) -> None:
    typer.echo(printable(reason), err=True)
    raise typer.Exit(1)
