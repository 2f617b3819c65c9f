"""The commands `repair-writer keys ...` and `repair-writer audit ...`."""

import json
import os
import pwd
import socket
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import TypeAdapter, ValidationError

from portal_access.scopes import SCOPES, parse_scopes
from repair_writer.api.settings import AdminCommandSettings
from repair_writer.callers import ApiKey, new_key, parse_key
from repair_writer.command_line import on_database
from repair_writer.fields import CustomerId, Source
from repair_writer.key_admin import (
    CLIENT_PATTERN,
    MAX_CUSTOMERS,
    MAX_SOURCES,
    KeyGrant,
    adopt_key,
    create_key,
    end_key,
)
from repair_writer.store.audit import AuditEntry, Operator, read_audit
from repair_writer.store.keys import KeyRow, list_keys
from repair_writer.store.transaction import Pool, transaction
from service_runtime.command_line import fail, show_rows
from service_runtime.settings import load

_DEFAULT_DAYS: Final = 180
_MAX_DAYS: Final = 366
_MAX_AUDIT: Final = 10_000

keys = typer.Typer(no_args_is_help=True, help="API keys of internal systems.")
audit = typer.Typer(no_args_is_help=True, help="What happened to API keys; append-only.")

Client = Annotated[
    str, typer.Option("--client", help="The system that gets it: letters, digits, '.', '_', '-'.")
]
Scopes = Annotated[
    str, typer.Option("--scopes", help=f"What it may do: {','.join(SCOPES)}", metavar="LIST")
]
Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        help="A source whose repairs it may record and change; the first is what it publishes "
        "under. May be given again. Without it: the client's name.",
    ),
]
Customers = Annotated[
    list[int] | None,
    typer.Option(
        "--customer", help="A customer it is bound to. May be given again. Without it: all."
    ),
]
Days = Annotated[int, typer.Option("--expires-days", min=1, max=_MAX_DAYS)]


@keys.command("create")
def create(
    *,
    client: Client,
    scopes: Scopes,
    source: Sources = None,
    customer: Customers = None,
    expires_days: Days = _DEFAULT_DAYS,
    secret_file: Annotated[
        Path | None, typer.Option(help="Write the key there (mode 600) instead of printing it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make a key. It is shown once and never again; two keys of a client may live at once."""
    grant, key = _grant(client, scopes, source, customer), new_key()
    if secret_file is not None:
        _make_file(secret_file)
    on_database(lambda pool: create_key(pool, key, grant, expires_days, _operator()))
    if secret_file is not None:
        secret_file.write_text(key.text + "\n", encoding="utf-8")
    row = grant.to_row(key)
    shown = {
        "id": row.key_id,
        "client": client,
        "scopes": row.scopes,
        "sources": row.sources,
        "customers": row.customers,
        "days": expires_days,
    }
    if as_json:
        typer.echo(json.dumps(shown if secret_file else shown | {"key": key.text}))
    else:
        typer.echo(f"{key.key_id} is in {secret_file}" if secret_file else key.text)


@keys.command("ensure")
def ensure(
    *,
    client: Client,
    scopes: Scopes,
    key_file: Annotated[Path, typer.Option(help="The file that holds the whole key.")],
    source: Sources = None,
    customer: Customers = None,
    expires_days: Days = _MAX_DAYS,
) -> None:
    """Take over a key that was made elsewhere, so that a whole system starts in one pass.

    May be run again, also to change what a key may do; one that was revoked stays revoked.
    """
    grant, key = _grant(client, scopes, source, customer), _read_key(key_file)
    on_database(lambda pool: adopt_key(pool, key, grant, expires_days, _operator()))
    typer.echo(f"{key.key_id} of {client} may {', '.join(sorted(grant.scopes))}.")


@keys.command("list")
def show(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the keys: never their secrets, which are not kept."""

    async def read(pool: Pool) -> list[KeyRow]:
        async with transaction(pool) as connection:
            return await list_keys(connection)

    rows = [_shown(row) for row in on_database(read)]
    show_rows(rows, as_json=as_json, empty="There is no key.")


@keys.command("revoke")
def revoke(key_id: Annotated[str, typer.Argument(help="The eight characters of the id.")]) -> None:
    """Revoke a key: the next request with it is refused."""
    if not on_database(lambda pool: end_key(pool, key_id, _operator())):
        fail(f"There is no live key {key_id}; see `repair-writer keys list`.")
    typer.echo(f"{key_id} is revoked.")


@audit.command("list")
def show_audit(
    key: Annotated[str | None, typer.Option(help="Only of this key: its id.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=_MAX_AUDIT, help="How many at most.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List who created, changed, used and revoked API keys, the newest entry first."""

    async def read(pool: Pool) -> list[AuditEntry]:
        async with transaction(pool) as connection:
            return await read_audit(connection, key, limit)

    rows = [_entry(one) for one in on_database(read)]
    show_rows(rows, as_json=as_json, empty="There is no entry.")


def _shown(row: KeyRow) -> dict[str, Any]:
    used = row.last_used_at
    return {
        "id": row.key_id,
        "client": row.client,
        "scopes": sorted(row.scopes),
        "sources": list(row.sources),
        "customers": None if row.customers is None else sorted(row.customers),
        "state": "live" if row.live else ("revoked" if row.revoked_at else "expired"),
        "expires": row.expires_at.isoformat(timespec="seconds"),
        "last_used": None if used is None else used.isoformat(timespec="seconds"),
    }


def _entry(entry: AuditEntry) -> dict[str, Any]:
    return {
        "at": entry.at.isoformat(timespec="seconds"),
        "what": entry.what,
        "key": entry.key_id,
        "client": entry.client,
        "by": entry.actor,
        "from": entry.origin,
        "detail": entry.detail,
    }


def _make_file(path: Path) -> None:
    """Create the file for a secret, before the key itself: a key without its secret is useless.

    Raises `typer.BadParameter` when the file exists or cannot be created.
    """
    try:
        path.touch(mode=0o600, exist_ok=False)
    except OSError as error:
        raise typer.BadParameter(f"cannot be made: {error}", param_hint="--secret-file") from error


def _operator() -> Operator:
    """Return the operator: the user behind sudo, otherwise the user of the process."""
    try:
        own = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        own = f"uid {os.getuid()}"  # the user of a container may have no name
    name = load(AdminCommandSettings).sudo_user or own
    return Operator(name=name[:100], machine=socket.gethostname()[:100])


def _grant(
    client: str, scopes: str, sources: list[str] | None, customers: list[int] | None
) -> KeyGrant:
    _check_client(client)
    if len(sources or ()) > MAX_SOURCES or len(customers or ()) > MAX_CUSTOMERS:
        raise typer.BadParameter(
            f"at most {MAX_SOURCES} sources and {MAX_CUSTOMERS} customers a key"
        )
    return KeyGrant(
        client=client,
        scopes=_scopes(scopes),
        sources=tuple(dict.fromkeys(_valid(Source, one, "--source") for one in sources or ())),
        customers=frozenset(_valid(CustomerId, one, "--customer") for one in customers)
        if customers
        else None,
    )


def _valid(kind: Any, value: Any, option: str) -> Any:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise typer.BadParameter(f"{value!r}: {reason}", param_hint=option) from error


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
