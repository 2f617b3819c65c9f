"""Errors that mean "Postgres could not do it now", so that a retry is right."""

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from service_runtime.postgres import is_infrastructure, is_not_migrated, server_settings


def wrapped(error: Exception) -> DBAPIError:
    """Return the error as SQLAlchemy wraps it."""
    return DBAPIError("SELECT 1", {}, error)


NOT_MIGRATED = [
    asyncpg.UndefinedTableError("no table"),
    asyncpg.InvalidSchemaNameError("no schema"),
]
AWAY = [
    asyncpg.ConnectionDoesNotExistError("gone"),
    asyncpg.TooManyConnectionsError("full"),
    asyncpg.AdminShutdownError("stopping"),
    asyncpg.CannotConnectNowError("starting"),
    asyncpg.DeadlockDetectedError("deadlock"),
    asyncpg.SerializationError("again"),
    asyncpg.LockNotAvailableError("busy"),
    asyncpg.QueryCanceledError("too slow"),
    asyncpg.DiskFullError("full"),
    asyncpg.ReadOnlySQLTransactionError("standby"),
    *NOT_MIGRATED,
    asyncpg.InterfaceError("connection is closed"),
    ConnectionRefusedError("nobody there"),
    TimeoutError(),
]
OURS = [
    asyncpg.UniqueViolationError("twice"),
    asyncpg.CheckViolationError("not so"),
    asyncpg.UndefinedColumnError("a bug"),
    asyncpg.CharacterNotInRepertoireError("NUL"),
    asyncpg.NumericValueOutOfRangeError("too large"),
    ValueError("a bug"),
    KeyError("a bug"),
]


@pytest.mark.parametrize("error", AWAY, ids=lambda error: type(error).__name__)
def test_what_may_work_later_is_infrastructure(error: Exception) -> None:
    assert is_infrastructure(error)
    assert is_infrastructure(wrapped(error))


@pytest.mark.parametrize("error", OURS, ids=lambda error: type(error).__name__)
def test_what_will_never_work_is_not(error: Exception) -> None:
    assert not is_infrastructure(error)
    assert not is_infrastructure(wrapped(error))


@pytest.mark.parametrize("error", [*AWAY, *OURS], ids=lambda error: type(error).__name__)
def test_missing_tables_are_told_apart_from_a_server_that_is_away(error: Exception) -> None:
    assert is_not_migrated(error) == (error in NOT_MIGRATED)
    assert is_not_migrated(wrapped(error)) == (error in NOT_MIGRATED)


def test_an_acknowledged_change_is_on_the_disk_and_every_statement_has_an_end() -> None:
    settings = server_settings("writer", statement_seconds=1.5)
    assert settings["synchronous_commit"] == "on"
    assert settings["statement_timeout"] == "1500"
    assert settings["application_name"] == "writer"
    assert settings["TimeZone"] == "UTC"
