"""The door to Postgres: pools with time limits, and which errors mean 'it is away'."""

import asyncio
from typing import Any, Final

import asyncpg
from sqlalchemy.engine import make_url

CONNECT_SECONDS: Final = 1.0
STATEMENT_SECONDS: Final = 2.0
LOCK_SECONDS: Final = 2.0

#: SQLSTATE classes of a server that is away, overloaded, stopping or in recovery, and of
#: transactions that another one undid: in each case the same work may be tried again.
_INFRASTRUCTURE_CLASSES: Final = frozenset({"08", "53", "57", "58", "40", "55", "25"})
#: undefined_table and invalid_schema_name: the migrator has not run yet, or has to run again.
_NOT_MIGRATED: Final = frozenset({"42P01", "3F000"})


def is_infrastructure(error: BaseException) -> bool:
    """Say whether the error means that Postgres could not do it now, rather than not at all."""
    cause, sqlstate = _cause_and_sqlstate(error)
    if sqlstate is not None:
        return sqlstate[:2] in _INFRASTRUCTURE_CLASSES or sqlstate in _NOT_MIGRATED
    # A wait that was given up is itself the error; its cause is only the cancellation. The last
    # kind is the driver saying that it has lost its place on a connection, which it then closes.
    kinds = (OSError, asyncio.TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)
    return isinstance(error, kinds) or isinstance(cause, kinds)


def is_not_migrated(error: BaseException) -> bool:
    """Return whether the tables are missing: the same work succeeds once the migrator has run."""
    return _cause_and_sqlstate(error)[1] in _NOT_MIGRATED


def _cause_and_sqlstate(error: BaseException) -> tuple[BaseException, str | None]:
    cause = getattr(error, "orig", None) or error
    cause = getattr(cause, "__cause__", None) or cause
    return cause, getattr(cause, "sqlstate", None) or getattr(error, "sqlstate", None)


def server_settings(
    name: str,
    *,
    statement_seconds: float = STATEMENT_SECONDS,
    lock_seconds: float = LOCK_SECONDS,
) -> dict[str, str]:
    """Return the session settings of a connection of the process called `name`.

    `synchronous_commit` is said out loud: an acknowledged change must survive (faults, row 35).
    """
    return {
        "application_name": name,
        "statement_timeout": str(int(statement_seconds * 1000)),
        "lock_timeout": str(int(lock_seconds * 1000)),
        "idle_in_transaction_session_timeout": "30000",
        # A statement whose caller has gone away soon ends.
        "client_connection_check_interval": "250",
        "synchronous_commit": "on",
        "TimeZone": "UTC",
        "jit": "off",
    }


async def create_pool(
    url: str, *, name: str, size: int, min_size: int = 0, **limits: float
) -> "asyncpg.Pool[asyncpg.Record]":
    """Return an asyncpg pool for hot paths; it connects when it is first used.

    A statement is given up by the client half a second after the server should have done so:
    a server that has vanished answers nothing.
    """
    return await asyncpg.create_pool(
        make_url(url).render_as_string(hide_password=False),
        min_size=min_size,
        max_size=size,
        timeout=CONNECT_SECONDS,
        command_timeout=limits.get("statement_seconds", STATEMENT_SECONDS) + 0.5,
        server_settings=server_settings(name, **limits),
        reset=_keep_session,
    )


async def _keep_session(_connection: object) -> None:
    """Spare the round trip that asyncpg spends on each release to reset the session.

    An open transaction is rolled back all the same, and nothing of ours changes a pooled session.
    """


async def connect(
    url: str, *, name: str, connect_seconds: float = CONNECT_SECONDS, **limits: float
) -> "asyncpg.Connection[Any]":
    """Return one connection of its own, for a session lock or a long reading."""
    return await asyncpg.connect(
        make_url(url).render_as_string(hide_password=False),
        timeout=connect_seconds,
        command_timeout=limits.get("statement_seconds", STATEMENT_SECONDS) + 0.5,
        server_settings=server_settings(name, **limits),
    )
