"""The operators' command line: `gateway migrate | users ... | sessions ... | devices ...`.

A password is read from a file or from the terminal, never from an argument. Other users of the
machine can read arguments.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway import admin_store, passwords
from gateway.settings import CommandSettings
from gateway.store import Connection
from gateway.usernames import MAX_USERNAME, clean_username
from service_runtime.postgres import connect, is_infrastructure, is_not_migrated
from service_runtime.settings import load
from service_runtime.terminal import printable

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
users = typer.Typer(no_args_is_help=True, help="Who may sign in, and for which customer.")
sessions = typer.Typer(no_args_is_help=True, help="Who is signed in.")
app.add_typer(users, name="users")
app.add_typer(sessions, name="sessions")
devices = typer.Typer(no_args_is_help=True, help="With which devices users have signed in.")
app.add_typer(devices, name="devices")

_T = TypeVar("_T")
_MAX_CUSTOMER = 2**63 - 1
_PIPE_WIDTH = 200

Username = Annotated[str, typer.Argument(help="The name to sign in with.")]
CustomerId = Annotated[
    int | None, typer.Option("--customer", min=1, max=_MAX_CUSTOMER, help="The customer's number.")
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file", help="A file with the password on its first line; else it asks."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON list instead of a table.")]


def main() -> None:
    """Run the command line."""
    app()


@app.command()
def migrate() -> None:
    """Bring the gateway's tables to the newest version; may be run again."""
    from gateway.migrations import migrate as run_migrations  # noqa: PLC0415 - slow, seldom needed

    url = load(CommandSettings).gateway_database_url
    try:
        run_migrations(url)
    except Exception as error:
        if not is_infrastructure(error):
            raise
        _fail(f"The database cannot be reached: {error}")


@users.command("add")
def add(
    username: Username,
    customer: CustomerId = None,
    email: Annotated[str, typer.Option(help="Shown in lists; nothing is sent.")] = "",
    password_file: PasswordFile = None,
    if_missing: Annotated[
        bool, typer.Option("--if-missing", help="Leave a user who exists as it is.")
    ] = False,
) -> None:
    """Add a user, acting for a customer if one is given."""
    name = _usable_name(username)
    stored = passwords.hash_password(_password(password_file))
    try:
        _run(lambda database: admin_store.add_user(database, name, email, stored, customer))
    except admin_store.NameTakenError:
        if not if_missing:
            _fail(f"There is a user {name!r} already (or one that differs only in case).")
        _echo(f"User {name} exists.")
        return
    _echo(f"User {name} added" + (f" for customer {customer}." if customer else "."))


@users.command("passwd")
def passwd(username: Username, password_file: PasswordFile = None) -> None:
    """Give a user another password; every session ends, and every device is unknown again."""
    stored = passwords.hash_password(_password(password_file))
    _run(lambda database: admin_store.set_password(database, username, stored))
    _echo(f"The password of {username} is changed; all sessions have ended.")


@users.command("link")
def link(
    username: Username,
    customer: CustomerId = None,
    none: Annotated[bool, typer.Option("--none", help="Act for no customer any more.")] = False,
) -> None:
    """Make a user act for a customer; it counts from the user's next request."""
    if (customer is None) != none:
        _fail("Say either --customer N or --none.")
    _run(lambda database: admin_store.link(database, username, customer))
    _echo(f"{username} acts for " + (f"customer {customer}." if customer else "no customer."))


@users.command("disable")
def disable(username: Username) -> None:
    """Keep a user out, from this moment."""
    _run(lambda database: admin_store.set_active(database, username, active=False))
    _echo(f"{username} is disabled; all sessions have ended.")


@users.command("enable")
def enable(username: Username) -> None:
    """Let a disabled user sign in again."""
    _run(lambda database: admin_store.set_active(database, username, active=True))
    _echo(f"{username} may sign in.")


@users.command("list")
def list_users(as_json: AsJson = False) -> None:
    """Show all users."""
    rows = _run(admin_store.list_users)
    shown = (
        "id",
        "username",
        "email",
        "customer_id",
        "is_active",
        "hash",
        "last_login",
        "sessions",
    )
    _show(shown, rows, as_json=as_json)


@sessions.command("list")
def list_sessions(
    user: Annotated[str | None, typer.Option("--user", help="Only this user's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the sessions, newest first."""
    rows = _run(lambda database: admin_store.list_sessions(database, user))
    shown = (
        "session", "username", "created_at", "last_seen_at", "expires_at", "peer", "user_agent",
    )  # fmt: skip
    _show(shown, rows, as_json=as_json)


@sessions.command("end")
def end(
    session: Annotated[str | None, typer.Argument(help="The short name from the list.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="All of this user's.")] = None,
    everybody: Annotated[bool, typer.Option("--all", help="All of everybody's.")] = False,
) -> None:
    """End sessions; it counts from their next request."""
    if [session is not None, user is not None, everybody].count(True) != 1:
        _fail("Say one of: a session, --user NAME, --all.")
    if session is not None:
        ended = _run(lambda database: admin_store.end_session(database, session))
    else:
        ended = _run(lambda database: admin_store.end_sessions_of(database, user))
    _echo(f"{ended} sessions ended.")


@devices.command("list")
def list_devices(
    user: Annotated[str | None, typer.Option("--user", help="Only this user's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the known devices, the one used last first."""
    rows = _run(lambda database: admin_store.list_devices(database, user))
    shown = ("device", "username", "created_at", "last_used_at", "peer", "user_agent")
    _show(shown, rows, as_json=as_json)


@devices.command("revoke")
def revoke(
    device: Annotated[str | None, typer.Argument(help="The short name from the list.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="All of this user's.")] = None,
) -> None:
    """Make devices unknown again; sessions go on."""
    if device is not None and user is None:
        revoked = _run(lambda database: admin_store.revoke_device(database, device))
    elif user is not None and device is None:
        revoked = _run(lambda database: admin_store.revoke_devices_of(database, user))
    else:
        _fail("Say one of: a device, --user NAME.")
    typer.echo(f"{revoked} devices are unknown from now on.")


def _run(work: Callable[[Connection], Coroutine[Any, Any, _T]]) -> _T:
    url = load(CommandSettings).gateway_database_url

    async def connected() -> _T:
        database = await connect(url, name="gateway-admin")
        try:
            return await work(database)
        finally:
            await database.close()

    try:
        return asyncio.run(connected())
    except admin_store.NoSuchUserError as error:
        _fail(f"There is no user {str(error)!r}.")
    except Exception as error:
        if is_not_migrated(error):
            _fail("The tables are not there yet: run `gateway migrate` first.")
        if not is_infrastructure(error):
            raise
        _fail(f"The database cannot be reached: {error}")


def _usable_name(username: str) -> str:
    name = clean_username(username)
    if not name or len(name) > MAX_USERNAME or not name.isprintable():
        _fail(f"A name has 1 to {MAX_USERNAME} characters, none of them a control character.")
    return name


def _password(file: Path | None) -> str:
    if file is None:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            _fail(f"{file} cannot be read: {error}")
        password = lines[0] if lines else ""
    if not passwords.MIN_LENGTH <= len(password) <= passwords.MAX_LENGTH or "\0" in password:
        _fail(f"A password has {passwords.MIN_LENGTH} to {passwords.MAX_LENGTH} characters.")
    return str(password)


def _show(columns: Sequence[str], rows: list[dict[str, Any]], *, as_json: bool) -> None:
    # A pipe has no width, so columns get room for whole words.
    console = Console() if sys.stdout.isatty() else Console(width=_PIPE_WIDTH)
    if as_json:
        shown = [{name: row[name] for name in columns} for row in rows]
        _echo(json.dumps(shown, default=str))
        return
    table = Table()
    for name in columns:
        # `sessions end` takes a session's short name, so it is never shortened.
        width = {"session": 16, "device": 16, "user_agent": 40}.get(name)
        table.add_column(name, no_wrap=True, width=width)
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in columns))
    console.print(table)


def _cell(value: object) -> Text:
    if isinstance(value, datetime):
        return Text(f"{value:%Y-%m-%d %H:%M}")
    return Text("" if value is None else printable(str(value)))


def _echo(text: str) -> None:
    typer.echo(printable(text))


def _fail(sentence: str) -> NoReturn:
    typer.secho(printable(sentence), err=True, fg=typer.colors.RED)
    raise typer.Exit(1)
