"""Shared parts of the SQL modules: the kinds of connection, and the meaning of errors."""

from typing import Final

import asyncpg

from portal_query.read_model.counts import Connection
from service_runtime.postgres import ReconnectingConnection as Line
from service_runtime.postgres import is_infrastructure

__all__ = ["Connection", "Line", "is_data_error", "is_infrastructure", "is_too_slow"]

#: SQLSTATE classes of values that Postgres cannot store: data exception, integrity violation,
#: program limit exceeded (a key too long for an index).
_DATA_CLASSES: Final = frozenset({"22", "23", "54"})
_QUERY_CANCELED: Final = "57014"


def is_data_error(error: BaseException) -> bool:
    """Return whether a value was impossible, so that a retry cannot succeed."""
    if isinstance(error, asyncpg.DataError):
        return True
    return isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "")[:2] in _DATA_CLASSES


def is_too_slow(error: BaseException) -> bool:
    """Return whether a statement exceeded its time limit."""
    if isinstance(error, asyncpg.PostgresError):
        return error.sqlstate == _QUERY_CANCELED
    return isinstance(error, TimeoutError)
