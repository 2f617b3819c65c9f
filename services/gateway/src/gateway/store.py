"""All SQL of the gateway: users, whose customer they are, sessions, and what was done.

Each function is one statement or one transaction. A session is kept under the SHA-256 of its id,
so that a copy of the table opens nothing. Whether a session counts is decided in the statement
that reads it, never by something remembered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

import asyncpg
import orjson

Connection: TypeAlias = "asyncpg.Connection[Any]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


@dataclass(frozen=True, slots=True)
class Visitor:
    """A live session with its user, and the customer that the user acts for, if any."""

    id_hash: bytes
    user_id: int
    username: str
    customer_id: int | None
    #: The session's last use was written long enough ago to write it again.
    stale: bool

    @property
    def session(self) -> str:
        """The short name under which the session is spoken of; it opens nothing."""
        return self.id_hash.hex()[:16]


@dataclass(frozen=True, slots=True)
class Account:
    """A user as signing in needs it."""

    user_id: int
    username: str
    password: str
    is_active: bool
    epoch: int


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to be kept."""

    id_hash: bytes
    replaces: bytes | None
    max_seconds: int
    idle_seconds: int
    peer: str
    user_agent: str
    per_user: int


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Something that a person may want to look up later; never a password, an id, a token."""

    at: datetime
    kind: str
    outcome: str
    request_id: str
    peer: str
    user_id: int | None = None
    session: str | None = None
    details: dict[str, Any] | None = None


_LIVE: Final = """
    FROM gateway.session AS s
    JOIN gateway."user" AS u
      ON u.id = s.user_id AND u.is_active
     AND s.auth_hash = sha256(convert_to(u.password, 'UTF8'))
    LEFT JOIN gateway.customer_user AS c ON c.user_id = u.id
    WHERE s.id_hash = ANY($1::bytea[])
      AND s.expires_at > now()
      AND s.last_seen_at > now() - make_interval(secs => $2)
"""
_READ_VISITORS: Final = f"""
    SELECT s.id_hash, u.id, u.username, c.customer_id,
           s.last_seen_at < now() - make_interval(secs => $3)
    {_LIVE}
"""


async def read_visitors(
    connection: Connection, hashes: Sequence[bytes], idle_seconds: float, touch_seconds: float
) -> dict[bytes, Visitor]:
    """Return the live sessions among those asked for, by their hash."""
    rows = await connection.fetch(_READ_VISITORS, hashes, idle_seconds, touch_seconds)
    return {row[0]: Visitor(*row) for row in rows}


async def touch_sessions(pool: Pool, hashes: Sequence[bytes], idle_seconds: float) -> None:
    """Write down that these sessions are in use; one that has ended meanwhile stays ended.

    Its row may still be there: a use that could not be written for a while does not revive it.
    """
    await pool.execute(
        "UPDATE gateway.session SET last_seen_at = now() WHERE id_hash = ANY($1::bytea[]) "
        "AND expires_at > now() AND last_seen_at > now() - make_interval(secs => $2)",
        hashes,
        idle_seconds,
    )


async def read_session_end(pool: Pool, id_hash: bytes, idle_seconds: float) -> datetime | None:
    """Return when a session ends unless it is used again; None if there is none."""
    end: datetime | None = await pool.fetchval(
        "SELECT least(expires_at, last_seen_at + make_interval(secs => $2)) "
        "FROM gateway.session WHERE id_hash = $1",
        id_hash,
        idle_seconds,
    )
    return end


async def find_account(pool: Pool, username: str) -> Account | None:
    """Return the user of exactly this name."""
    row = await pool.fetchrow(
        'SELECT id, username, password, is_active, epoch FROM gateway."user" WHERE username = $1',
        username,
    )
    return None if row is None else Account(*row)


async def find_namesake(pool: Pool, folded: str) -> int | None:
    """Return the user whom somebody means by this name in any case, or by this address."""
    user_id: int | None = await pool.fetchval(
        'SELECT id FROM gateway."user" WHERE lower(username) = $1 OR lower(email) = $1 '
        "ORDER BY lower(username) = $1 DESC, id LIMIT 1",
        folded,
    )
    return user_id


_INSERT_SESSION: Final = """
    WITH owner AS (
        UPDATE gateway."user" SET last_login = now()
        WHERE id = $1 AND is_active AND epoch = $2 AND password = $3
        RETURNING id, password
    )
    INSERT INTO gateway.session
        (id_hash, user_id, created_at, expires_at, last_seen_at, auth_hash, peer, user_agent)
    SELECT $4, id, now(), now() + make_interval(secs => $5), now(),
           sha256(convert_to(password, 'UTF8')), $6, $7
    FROM owner
    RETURNING user_id
"""
_DROP_SURPLUS: Final = """
    DELETE FROM gateway.session WHERE id_hash IN (
        SELECT id_hash FROM gateway.session WHERE user_id = $1
        ORDER BY last_seen_at > now() - make_interval(secs => $3) AND expires_at > now() DESC,
                 created_at DESC
        OFFSET $2
    )
"""


async def create_session(pool: Pool, account: Account, session: NewSession) -> bool:
    """Keep a new session and end the one that the browser had; oldest beyond the bound end too.

    Returns False, and keeps nothing, when the user was disabled, got another password or had
    all sessions ended since `account` was read.
    """
    async with pool.acquire() as connection, connection.transaction():
        kept = await connection.fetchval(
            _INSERT_SESSION,
            account.user_id,
            account.epoch,
            account.password,
            session.id_hash,
            float(session.max_seconds),
            session.peer,
            session.user_agent,
        )
        if kept is None:
            return False
        if session.replaces is not None:
            await connection.execute(
                "DELETE FROM gateway.session WHERE id_hash = $1", session.replaces
            )
        await connection.execute(
            _DROP_SURPLUS, account.user_id, session.per_user, float(session.idle_seconds)
        )
    return True


async def delete_session(pool: Pool, id_hash: bytes) -> int | None:
    """End one session; return its user, or None if there was none."""
    user_id: int | None = await pool.fetchval(
        "DELETE FROM gateway.session WHERE id_hash = $1 RETURNING user_id", id_hash
    )
    return user_id


async def replace_hash(pool: Pool, account: Account, password: str) -> bool:
    """Store the same password in another form; the user's sessions go on."""
    async with pool.acquire() as connection, connection.transaction():
        changed = await connection.fetchval(
            'UPDATE gateway."user" SET password = $3 WHERE id = $1 AND password = $2 RETURNING id',
            account.user_id,
            account.password,
            password,
        )
        if changed is None:
            return False
        await connection.execute(
            "UPDATE gateway.session SET auth_hash = sha256(convert_to($3::text, 'UTF8')) "
            "WHERE user_id = $1 AND auth_hash = sha256(convert_to($2::text, 'UTF8'))",
            account.user_id,
            account.password,
            password,
        )
    return True


async def append_audit(pool: Pool, events: Sequence[AuditEvent]) -> None:
    """Add what was done to the table that is only ever added to."""
    await pool.executemany(
        "INSERT INTO gateway.audit_event "
        "(at, kind, outcome, request_id, peer, user_id, session, details) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb)",
        [
            (
                event.at,
                event.kind,
                event.outcome,
                event.request_id,
                event.peer,
                event.user_id,
                event.session,
                None if event.details is None else orjson.dumps(event.details).decode(),
            )
            for event in events
        ],
    )


async def sweep(pool: Pool, idle_seconds: float, audit_days: int) -> int:
    """Remove sessions that have ended by time, and audit events past their keeping."""
    ended = await pool.execute(
        "DELETE FROM gateway.session "
        "WHERE expires_at < now() OR last_seen_at < now() - make_interval(secs => $1)",
        idle_seconds,
    )
    await pool.execute(
        "DELETE FROM gateway.audit_event WHERE at < now() - make_interval(days => $1)", audit_days
    )
    return int(ended.rpartition(" ")[2])


async def ping(pool: Pool) -> None:
    """Read the tables that every request needs; raises while they cannot be read."""
    await pool.fetchval('SELECT 1 FROM gateway.session, gateway."user" LIMIT 1')
