"""What every piece of our SQL shares: the kinds of connection, and what an error means."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from portal_query.read_model.counts import Connection
from service_runtime.postgres import connect, is_infrastructure

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


class Line:
    """One connection of its own, opened when it is needed, and anew after it broke.

    For work that never runs twice at a time: it spares a pool's way around each transaction.
    """

    def __init__(self, url: str, *, name: str, **limits: float) -> None:
        self._url = url
        self._name = name
        self._limits = limits
        self._connection: Connection | None = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend the connection; it is dropped when Postgres goes away under the block."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._url, name=self._name, **self._limits)
        held = self._connection
        try:
            yield held
        except BaseException as error:
            # What was cancelled in the middle of a statement is not to be trusted either.
            if is_infrastructure(error) or not isinstance(error, Exception):
                self.drop()
            raise

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend the connection within a transaction, which is undone when the block fails."""
        async with self.connection() as held, held.transaction():
            yield held

    def drop(self) -> None:
        """Close the connection now, without a word to the server."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
