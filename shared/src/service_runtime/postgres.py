"""Postgres client: pools with time limits, and errors classified as unavailable or busy."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import quote, unquote

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from service_runtime.errors import OverloadedError
from service_runtime.metrics import POOL_LENT

if TYPE_CHECKING:
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    PooledConnection: TypeAlias = PoolConnectionProxy[asyncpg.Record]
else:
    Pool = asyncpg.Pool
    PooledConnection = PoolConnectionProxy

#: Less than one second, within which an overloaded process rejects excess work.
ACQUIRE_SECONDS: Final = 0.8
_RELEASE_SECONDS: Final = 1.0
_CLOSE_SECONDS: Final = 5.0
CONNECT_SECONDS: Final = 1.0
STATEMENT_SECONDS: Final = 2.0
LOCK_SECONDS: Final = 2.0

#: SQLSTATE classes of a server that is unavailable, overloaded, stopping or in recovery, and of
#: transactions that lost to another one: the same work may be retried.
_INFRASTRUCTURE_CLASSES: Final = frozenset({"08", "53", "57", "58", "40", "55", "25"})
#: undefined_table and invalid_schema_name: the migrator has to run.
_NOT_MIGRATED: Final = frozenset({"42P01", "3F000"})
_PASSWORD: Final = re.compile(r"(?<=://)([^:/@]*:)([^@]*)@")

#: SQLSTATEs of a busy server: too many connections or no memory, a lock timeout (55P03), a
#: statement timeout (57014). Disk full (53100) is excluded: it is independent of load.
_BUSY_STATES: Final = frozenset({"53000", "53200", "53300", "55P03", "57014"})


#: Start of the task's connect, in seconds of its event loop, None before. The driver does not show
#: whether a wait for a pooled connection was for other tasks or for the server.
_connect_began: Final[ContextVar[float | None]] = ContextVar("connect_began", default=None)


class PoolExhaustedError(OverloadedError):
    """Pool whose connections are all in use: none became free within the time limit."""


def is_overload(error: BaseException) -> bool:
    """Return whether the error means that Postgres, or a pool for it, is overloaded."""
    cause = error.__cause__ or error
    if isinstance(error, OverloadedError) or isinstance(cause, OverloadedError):
        return True
    state = getattr(error, "sqlstate", None) or getattr(cause, "sqlstate", None)
    return state in _BUSY_STATES


def is_infrastructure(error: BaseException) -> bool:
    """Return whether the error is temporary: the same work may succeed later."""
    cause, sqlstate = _cause_and_sqlstate(error)
    if sqlstate is not None:
        return sqlstate[:2] in _INFRASTRUCTURE_CLASSES or sqlstate in _NOT_MIGRATED
    # For a wait that timed out the cause is only the cancellation. InternalClientError means that
    # the driver has lost its protocol state on a connection, which it then closes.
    kinds = (
        OSError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
        OverloadedError,
    )
    return isinstance(error, kinds) or isinstance(cause, kinds)


def is_not_migrated(error: BaseException) -> bool:
    """Return whether tables are missing: the same work succeeds after the migrator."""
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

    `synchronous_commit` is explicit: an acknowledged change must survive (faults, row 35).
    """
    return {
        "application_name": name,
        "statement_timeout": str(int(statement_seconds * 1000)),
        "lock_timeout": str(int(lock_seconds * 1000)),
        "idle_in_transaction_session_timeout": "30000",
        # Milliseconds: a statement ends soon after its client has disconnected.
        "client_connection_check_interval": "250",
        "synchronous_commit": "on",
        "TimeZone": "UTC",
        "jit": "off",
    }


def with_quoted_password(url: str) -> str:
    """Return the URL with its password quoted, as drivers need it: operators may write it as it is.

    SQLAlchemy reads a URL so for the migrations; only they load it, because that takes a process a
    quarter of a second.
    """
    return _PASSWORD.sub(
        lambda found: f"{found[1]}{quote(unquote(found[2]), safe='')}@", url, count=1
    )


async def create_pool(
    url: str,
    *,
    name: str,
    size: int,
    connect_seconds: float = CONNECT_SECONDS,
    **limits: float,
) -> Pool:
    """Return an asyncpg pool for hot paths; it connects at its first use.

    The client's statement timeout is half a second longer than the server's. It applies when the
    server has become unreachable.
    """
    pool = await asyncpg.create_pool(
        with_quoted_password(url),
        min_size=0,
        max_size=size,
        timeout=connect_seconds,
        command_timeout=limits.get("statement_seconds", STATEMENT_SECONDS) + 0.5,
        server_settings=server_settings(name, **limits),
        connect=_connect_timed,
        reset=_keep_session,
    )
    POOL_LENT.labels(name).set_function(lambda: pool.get_size() - pool.get_idle_size())
    return pool


async def close_pool(pool: Pool) -> None:
    """Close a pool; terminate it if a connection is still lent after five seconds."""
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await pool.close()
    except TimeoutError:
        pool.terminate()


@asynccontextmanager
async def lease(pool: Pool, seconds: float = ACQUIRE_SECONDS) -> AsyncIterator[PooledConnection]:
    """Lend a connection of the pool; wait at most `seconds` for it.

    Raises PoolExhaustedError while others use the connections, TimeoutError or the driver's error
    if the server is unavailable.
    """
    _connect_began.set(None)
    try:
        # Not `acquire(timeout=...)`: the driver would create a task for each wait.
        async with asyncio.timeout(seconds):
            connection = await pool.acquire()
    except TimeoutError as error:
        connected = f"{pool.get_size()} of {pool.get_max_size()} are connected"
        if pool.get_size() and not _is_unreachable(seconds):
            raise PoolExhaustedError(f"no connection free in {seconds:g} s, {connected}") from error
        raise TimeoutError(f"no connection made in {seconds:g} s, {connected}") from error
    try:
        yield connection
    except BaseException as error:
        if _is_cut_off(error):
            # Its statement may still run, and the driver would wait for its end.
            connection.terminate()
        raise
    finally:
        await pool.release(connection, timeout=_RELEASE_SECONDS)


def _is_unreachable(seconds: float) -> bool:
    """Return whether the server had at least half of a wait to accept the task's connection.

    The next task that gets the place of a closed connection reconnects. If the task spent most of
    its wait on the place, the cause is the load rather than the server.
    """
    began = _connect_began.get()
    return began is not None and asyncio.get_running_loop().time() - began >= seconds / 2


async def _connect_timed(*arguments: Any, **options: Any) -> "asyncpg.Connection[Any]":
    """Connect as the driver does, and record the start."""
    _connect_began.set(asyncio.get_running_loop().time())
    connection: asyncpg.Connection[Any] = await asyncpg.connect(*arguments, **options)
    return connection


def _is_cut_off(error: BaseException) -> bool:
    """Return whether the error may have interrupted a statement."""
    kinds = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)
    return not isinstance(error, Exception) or isinstance(error, kinds)


async def _keep_session(_connection: object) -> None:
    """Skip asyncpg's reset of the session at each release, which costs a round trip.

    An open transaction is still rolled back, and no code here changes a pooled session.
    """


async def connect(
    url: str, *, name: str, connect_seconds: float = CONNECT_SECONDS, **limits: float
) -> "asyncpg.Connection[Any]":
    """Return a dedicated connection, for a session lock or a long read."""
    return await asyncpg.connect(
        with_quoted_password(url),
        timeout=connect_seconds,
        command_timeout=limits.get("statement_seconds", STATEMENT_SECONDS) + 0.5,
        server_settings=server_settings(name, **limits),
    )


class ReconnectingConnection:
    """Dedicated connection, opened at its first use, and reopened after a failure.

    For work that never runs concurrently: a pool costs more CPU than a small statement.
    """

    def __init__(self, url: str, *, name: str, **limits: float) -> None:
        self._url = url
        self._name = name
        self._limits = limits
        self._connection: asyncpg.Connection[Any] | None = None

    @asynccontextmanager
    async def connection(self) -> "AsyncIterator[asyncpg.Connection[Any]]":
        """Lend the connection; drop it if the block fails with an infrastructure error."""
        held = await self.open()
        try:
            yield held
        except BaseException as error:
            self.failed(error)
            raise

    async def open(self) -> "asyncpg.Connection[Any]":
        """Return the connection, a new one after a failure; raises the driver's errors."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._url, name=self._name, **self._limits)
        return self._connection

    def failed(self, error: BaseException) -> None:
        """Drop the connection if the error leaves its state uncertain.

        A cancellation within a statement does so as well.
        """
        if is_infrastructure(error) or not isinstance(error, Exception):
            self.drop()

    @asynccontextmanager
    async def transaction(self) -> "AsyncIterator[asyncpg.Connection[Any]]":
        """Lend the connection within a transaction; roll it back if the block fails."""
        async with self.connection() as held, held.transaction():
            yield held

    def drop(self) -> None:
        """Close the connection at once, without a message to the server."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


class LookupPool:
    """Pool for a `DataLoader`, which uses at most `size` connections at a time.

    For the one query of every request: the driver's pool costs more CPU than the query.
    """

    def __init__(self, url: str, *, name: str, size: int, **limits: float) -> None:
        self._idle = [ReconnectingConnection(url, name=name, **limits) for _ in range(size)]
        self._all = tuple(self._idle)

    async def open(self) -> None:
        """Connect in advance; raises the driver's errors."""
        for one in self._all:
            await one.open()

    def connection(self) -> "_Loan":
        """Return a loan of the last used connection; `async with` acquires and releases it.

        Its start raises PoolExhaustedError when no connection is idle.
        """
        return _Loan(self._idle)

    def close(self) -> None:
        """Drop all connections."""
        for one in self._all:
            one.drop()


class _Loan:
    """Loan of one connection of a pool, acquired when the block starts."""

    __slots__ = ("_idle", "_one")

    def __init__(self, idle: list[ReconnectingConnection]) -> None:
        self._idle = idle

    async def __aenter__(self) -> "asyncpg.Connection[Any]":
        if not self._idle:
            raise PoolExhaustedError("all connections are in use")
        self._one = self._idle.pop()
        try:
            return await self._one.open()
        except BaseException:
            self._idle.append(self._one)
            raise

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is not None:
            self._one.failed(error)
        self._idle.append(self._one)
