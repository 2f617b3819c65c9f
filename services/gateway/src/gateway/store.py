"""The SQL of the gateway: users, their customers, sessions, devices, and the audit trail.

Each function is one statement or one transaction. A session is stored under the SHA-256 of its id,
so a copy of the table opens no session. The statement that reads a session decides whether it is
valid; nothing is cached.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

import asyncpg
import orjson

from service_runtime.postgres import Pool, PooledConnection, lease

__all__ = ["Pool", "PooledConnection"]

Connection: TypeAlias = "asyncpg.Connection[Any] | PooledConnection"

#: A device that was unused for this time (seconds) is forgotten, as its cookie expires (RFC
#: 6265bis).
DEVICE_SECONDS: Final = 400 * 86_400
DEVICES_PER_USER: Final = 100


@dataclass(frozen=True, slots=True)
class Visitor:
    """A live session with its user, and the user's customer, if any."""

    id_hash: bytes
    user_id: int
    username: str
    customer_id: int | None
    #: True if the last use was written long ago, so that this use must be written again.
    stale: bool

    @property
    def session(self) -> str:
        """The short name of the session in logs and lists; it opens no session."""
        return self.id_hash.hex()[:16]


@dataclass(frozen=True, slots=True)
class Account:
    """A user, with the columns that a sign-in needs."""

    user_id: int
    username: str
    password: str
    is_active: bool
    epoch: int
    #: True if the typed name is the username; otherwise it only matches this account.
    is_exact: bool
    #: The hash of the browser's device, if the user has signed in with it before.
    device: bytes | None


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to store."""

    id_hash: bytes
    replaces: Sequence[bytes]
    max_seconds: int
    idle_seconds: int
    peer: str
    user_agent: str
    per_user: int
    device: bytes


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """An event of the audit trail; it never holds a password, a session id or a token."""

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
    """Return the live sessions among these hashes, by their hash."""
    rows = await connection.fetch(_READ_VISITORS, hashes, idle_seconds, touch_seconds)
    return {row[0]: Visitor(*row) for row in rows}


async def touch_sessions(pool: Pool, hashes: Sequence[bytes], idle_seconds: float) -> None:
    """Write the last use of these sessions; a session that has ended stays ended.

    Its row may still exist: a use that is written late does not revive it.
    """
    async with lease(pool) as connection:
        await connection.execute(
            "UPDATE gateway.session SET last_seen_at = now() WHERE id_hash = ANY($1::bytea[]) "
            "AND expires_at > now() AND last_seen_at > now() - make_interval(secs => $2)",
            hashes,
            idle_seconds,
        )


async def read_session_end(pool: Pool, id_hash: bytes, idle_seconds: float) -> datetime | None:
    """Return the time at which a session ends without further use; None if there is no session."""
    async with lease(pool) as connection:
        end: datetime | None = await connection.fetchval(
            "SELECT least(expires_at, last_seen_at + make_interval(secs => $2)) "
            "FROM gateway.session WHERE id_hash = $1",
            id_hash,
            idle_seconds,
        )
    return end


# The username, its other cases, and the email address all match one account in one statement. So
# the time of the response hides which of them matched, and whether one did. Postgres folds the
# name as well: `casefold` equates spellings that `lower` does not (\u00df, a final sigma), and two
# spellings that are counted together would show that the name has no account.
_FIND_ACCOUNT: Final = """
    SELECT lower($1), account.*
    FROM (VALUES (1)) AS one LEFT JOIN (
        SELECT u.id, u.username, u.password, u.is_active, u.epoch, u.username = $1, d.id_hash
        FROM gateway."user" AS u
        LEFT JOIN gateway.device AS d
          ON d.user_id = u.id AND d.id_hash = ANY($2::bytea[])
         AND d.auth_hash = sha256(convert_to(u.password, 'UTF8'))
         AND d.last_used_at > now() - make_interval(secs => $3)
        WHERE lower(u.username) = lower($1) OR lower(u.email) = lower($1)
        ORDER BY u.username = $1 DESC, lower(u.username) = lower($1) DESC, u.id, d.last_used_at DESC
        LIMIT 1
    ) AS account ON true
"""


async def find_account(
    pool: Pool, name: str, devices: Sequence[bytes] = ()
) -> tuple[str, Account | None]:
    """Return the folded name and the user that it matches, or None, with a known device.

    The device is the last used of `devices` (hashes) with which the user has signed in. Only the
    exact username signs in. Attempts with every other name are counted for the account, or for
    the folded name without one.
    """
    async with lease(pool) as connection:
        row = await connection.fetchrow(_FIND_ACCOUNT, name, devices, float(DEVICE_SECONDS))
    assert row is not None  # noqa: S101 - the statement returns one row in any case
    folded, user_id, *rest = row
    return folded, None if user_id is None else Account(user_id, *rest)


_DELETE_SESSIONS: Final = "DELETE FROM gateway.session WHERE id_hash = ANY($1::bytea[])"
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


# A correct password proves that the user has the device. Its cookie may outlive a password change.
_KEEP_DEVICE: Final = """
    INSERT INTO gateway.device
        (id_hash, user_id, created_at, last_used_at, auth_hash, peer, user_agent)
    SELECT $2, id, now(), now(), sha256(convert_to(password, 'UTF8')), $3, $4
    FROM gateway."user" WHERE id = $1
    ON CONFLICT (id_hash) DO UPDATE SET
        last_used_at = excluded.last_used_at, auth_hash = excluded.auth_hash,
        peer = excluded.peer, user_agent = excluded.user_agent
"""
_DROP_SURPLUS_DEVICES: Final = """
    DELETE FROM gateway.device WHERE id_hash IN (
        SELECT id_hash FROM gateway.device WHERE user_id = $1
        ORDER BY last_used_at DESC OFFSET $2
    )
"""


async def create_session(pool: Pool, account: Account, session: NewSession) -> bool:
    """Store a new session and its device, and end the earlier sessions of the browser.

    It also deletes the oldest sessions and devices of the user beyond their bounds.

    Returns False, and stores nothing, if the user has changed since `account` was read. A change is
    a disabled user, another password, or the end of all sessions.
    """
    async with lease(pool) as connection, connection.transaction():
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
        if session.replaces:
            await connection.execute(_DELETE_SESSIONS, session.replaces)
        await connection.execute(
            _DROP_SURPLUS, account.user_id, session.per_user, float(session.idle_seconds)
        )
        await connection.execute(
            _KEEP_DEVICE, account.user_id, session.device, session.peer, session.user_agent
        )
        await connection.execute(_DROP_SURPLUS_DEVICES, account.user_id, DEVICES_PER_USER)
    return True


async def delete_sessions(pool: Pool, hashes: Sequence[bytes]) -> list[tuple[bytes, int]]:
    """End sessions; return the hash and the user id of each that existed."""
    async with lease(pool) as connection:
        rows = await connection.fetch(f"{_DELETE_SESSIONS} RETURNING id_hash, user_id", hashes)
    return [(row[0], row[1]) for row in rows]


async def replace_hash(pool: Pool, account: Account, password: str) -> bool:
    """Store the same password with another hash; the user's sessions and devices stay valid.

    Returns False if the stored password has changed since `account` was read.
    """
    async with lease(pool) as connection, connection.transaction():
        changed = await connection.fetchval(
            'UPDATE gateway."user" SET password = $3 WHERE id = $1 AND password = $2 RETURNING id',
            account.user_id,
            account.password,
            password,
        )
        if changed is None:
            return False
        for table in ("session", "device"):
            await connection.execute(
                f"UPDATE gateway.{table} SET auth_hash = sha256(convert_to($3::text, 'UTF8')) "  # noqa: S608 - one of the two
                "WHERE user_id = $1 AND auth_hash = sha256(convert_to($2::text, 'UTF8'))",
                account.user_id,
                account.password,
                password,
            )
    return True


async def append_audit(pool: Pool, events: Sequence[AuditEvent]) -> None:
    """Insert events into the append-only audit table."""
    async with lease(pool) as connection:
        await connection.executemany(
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
    """Delete expired sessions, devices and audit events; return the number of sessions."""
    async with lease(pool) as connection:
        ended = await connection.execute(
            "DELETE FROM gateway.session "
            "WHERE expires_at < now() OR last_seen_at < now() - make_interval(secs => $1)",
            idle_seconds,
        )
        # The function runs with another role: this role may insert audit rows, but not delete them.
        await connection.fetchval("SELECT gateway.forget_audit($1)", audit_days)
        await connection.execute(
            "DELETE FROM gateway.device WHERE last_used_at < now() - make_interval(secs => $1)",
            float(DEVICE_SECONDS),
        )
    return int(ended.rpartition(" ")[2])
