"""The operators' command line: `gateway migrate | users ... | sessions ... | devices ...`.

A password is read from a file or from the terminal, never from an argument. Other users of the
machine can read arguments.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from gateway import admin_store, passwords
from gateway.settings import CommandSettings
from gateway.store import Connection
from gateway.usernames import MAX_USERNAME, clean_username
from service_runtime.command_line import fail, say, show_rows
from service_runtime.postgres import connect, is_infrastructure, is_not_migrated
from service_runtime.settings import load

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
users = typer.Typer(no_args_is_help=True, help="Who may sign in, and for which customer.")
sessions = typer.Typer(no_args_is_help=True, help="Who is signed in.")
app.add_typer(users, name="users")
app.add_typer(sessions, name="sessions")
devices = typer.Typer(no_args_is_help=True, help="With which devices users have signed in.")
app.add_typer(devices, name="devices")

_T = TypeVar("_T")
_MAX_CUSTOMER = 2**63 - 1

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
        fail(f"The database cannot be reached: {error}")


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
            fail(f"There is a user {name!r} already (or one that differs only in case).")
        say(f"User {name} exists.")
        return
    say(f"User {name} added" + (f" for customer {customer}." if customer else "."))


@users.command("passwd")
def passwd(username: Username, password_file: PasswordFile = None) -> None:
    """Give a user another password; every session ends, and every device is unknown again."""
    stored = passwords.hash_password(_password(password_file))
    _run(lambda database: admin_store.set_password(database, username, stored))
    say(f"The password of {username} is changed; all sessions have ended.")


@users.command("link")
def link(
    username: Username,
    customer: CustomerId = None,
    none: Annotated[bool, typer.Option("--none", help="Act for no customer any more.")] = False,
) -> None:
    """Make a user act for a customer; it counts from the user's next request."""
    if (customer is None) != none:
        fail("Say either --customer N or --none.")
    _run(lambda database: admin_store.link(database, username, customer))
    say(f"{username} acts for " + (f"customer {customer}." if customer else "no customer."))


@users.command("disable")
def disable(username: Username) -> None:
    """Keep a user out, from this moment."""
    _run(lambda database: admin_store.set_active(database, username, active=False))
    say(f"{username} is disabled; all sessions have ended.")


@users.command("enable")
def enable(username: Username) -> None:
    """Let a disabled user sign in again."""
    _run(lambda database: admin_store.set_active(database, username, active=True))
    say(f"{username} may sign in.")


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
    everybody: Annotated[bool, typer.Option("--all", help="Those of all users.")] = False,
) -> None:
    """End sessions; it counts from their next request."""
    if [session is not None, user is not None, everybody].count(True) != 1:
        fail("Give one of: a session, --user NAME, --all.")
    if session is not None:
        ended = _run(lambda database: admin_store.end_session(database, session))
    else:
        ended = _run(lambda database: admin_store.end_sessions_of(database, user))
    say(f"{ended} sessions ended.")


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
        fail("Say one of: a device, --user NAME.")
    say(f"{revoked} devices are unknown from now on.")


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
        fail(f"There is no user {str(error)!r}.")
    except Exception as error:
        if is_not_migrated(error):
            fail("The tables are not there yet: run `gateway migrate` first.")
        if not is_infrastructure(error):
            raise
        fail(f"The database cannot be reached: {error}")


def _usable_name(username: str) -> str:
    name = clean_username(username)
    if not name or len(name) > MAX_USERNAME or not name.isprintable():
        fail(f"A name has 1 to {MAX_USERNAME} characters, none of them a control character.")
    return name


def _password(file: Path | None) -> str:
    if file is None:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            fail(f"{file} cannot be read: {error}")
        password = lines[0] if lines else ""
    if not passwords.MIN_LENGTH <= len(password) <= passwords.MAX_LENGTH or "\0" in password:
        fail(f"A password has {passwords.MIN_LENGTH} to {passwords.MAX_LENGTH} characters.")
    return str(password)


def _show(columns: Sequence[str], rows: list[dict[str, Any]], *, as_json: bool) -> None:
    shown = [{name: row[name] for name in columns} for row in rows]
    # `sessions end` takes a session's short name, so it is never shortened.
    show_rows(shown, as_json=as_json, widths={"session": 16, "device": 16, "user_agent": 40})
