"""What every piece of our SQL shares: the kinds of connection, and what an error means."""

from typing import Final

import asyncpg

from portal_query.read_model.counts import Connection
from service_runtime.postgres import ReconnectingConnection as Line
from service_runtime.postgres import is_infrastructure

__all__ = ["Connection", "Line", "is_data_error", "is_infrastructure", "is_too_slow"]

#: SQLSTATE classes of values that Postgres cannot hold: data exception, integrity violation,
#: and a limit of its own that was exceeded (a key too long for an index).
_DATA_CLASSES: Final = frozenset({"22", "23", "54"})
_QUERY_CANCELED: Final = "57014"


def is_data_error(error: BaseException) -> bool:
    """Say whether one of the values was impossible, so that trying again cannot help."""
    if isinstance(error, asyncpg.DataError):
        return True
    return isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "")[:2] in _DATA_CLASSES


def is_too_slow(error: BaseException) -> bool:
    """Say whether a statement was given up for the time that it took."""
    if isinstance(error, asyncpg.PostgresError):
        return error.sqlstate == _QUERY_CANCELED
    return isinstance(error, TimeoutError)
