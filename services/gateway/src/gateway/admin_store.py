"""The SQL of the command line: users, sessions and devices, for operators.

A statement that ends all sessions of a user raises the user's epoch. A sign-in that is in progress
at that moment then fails. `end_session` deletes one session and leaves the epoch.
"""

from typing import Any

import asyncpg
import orjson

from gateway.store import Connection


class NameTakenError(Exception):
    """An error for a username that exists already, perhaps in another case."""


class NoSuchUserError(Exception):
    """An error for a username that does not exist."""


async def add_user(
    connection: Connection, username: str, email: str, password: str, customer_id: int | None
) -> int:
    """Create a user, linked to a customer if one is given; return its id.

    Raises NameTakenError.
    """
    async with connection.transaction():
        try:
            user_id: int = await connection.fetchval(
                'INSERT INTO gateway."user" (username, email, password) VALUES ($1, $2, $3) '
                "RETURNING id",
                username,
                email,
                password,
            )
        except asyncpg.UniqueViolationError:
            raise NameTakenError(username) from None
        if customer_id is not None:
            await _link(connection, user_id, customer_id)
        await _note(connection, "user-added", user_id, customer_id=customer_id)
    return user_id


async def _note(connection: Connection, kind: str, user_id: int | None, **details: object) -> None:
    """Write an operator's action to the audit table, in the transaction of the action."""
    await connection.execute(
        "INSERT INTO gateway.audit_event (at, kind, outcome, request_id, peer, user_id, details) "
        "VALUES (now(), $1, 'ok', '', 'command line', $2, $3::jsonb)",
        kind,
        user_id,
        orjson.dumps(details).decode(),
    )


async def _link(connection: Connection, user_id: int, customer_id: int) -> None:
    await connection.execute(
        "INSERT INTO gateway.customer_user (user_id, customer_id) VALUES ($1, $2) "
        "ON CONFLICT (user_id) DO UPDATE SET customer_id = excluded.customer_id, linked_at = now()",
        user_id,
        customer_id,
    )


async def user_id_of(connection: Connection, username: str) -> int:
    """Return the id of a user. Raises NoSuchUserError."""
    user_id: int | None = await connection.fetchval(
        'SELECT id FROM gateway."user" WHERE username = $1', username
    )
    if user_id is None:
        raise NoSuchUserError(username)
    return user_id


async def set_password(connection: Connection, username: str, password: str) -> None:
    """Store another password; end every session and delete every device of the user.

    Raises NoSuchUserError.
    """
    async with connection.transaction():
        user_id = await user_id_of(connection, username)
        await connection.execute(
            'UPDATE gateway."user" SET password = $2, epoch = epoch + 1 WHERE id = $1',
            user_id,
            password,
        )
        await connection.execute("DELETE FROM gateway.session WHERE user_id = $1", user_id)
        await connection.execute("DELETE FROM gateway.device WHERE user_id = $1", user_id)
        await _note(connection, "password-changed", user_id)


async def set_active(connection: Connection, username: str, *, active: bool) -> None:
    """Enable a user, or disable a user at once and end all its sessions.

    Raises NoSuchUserError.
    """
    async with connection.transaction():
        user_id = await user_id_of(connection, username)
        await connection.execute(
            'UPDATE gateway."user" SET is_active = $2, epoch = epoch + 1 WHERE id = $1',
            user_id,
            active,
        )
        if not active:
            await connection.execute("DELETE FROM gateway.session WHERE user_id = $1", user_id)
        await _note(connection, "user-enabled" if active else "user-disabled", user_id)


async def link(connection: Connection, username: str, customer_id: int | None) -> None:
    """Link a user to a customer, or to none. Raises NoSuchUserError."""
    async with connection.transaction():
        user_id = await user_id_of(connection, username)
        if customer_id is None:
            await connection.execute(
                "DELETE FROM gateway.customer_user WHERE user_id = $1", user_id
            )
        else:
            await _link(connection, user_id, customer_id)
        await _note(connection, "user-linked", user_id, customer_id=customer_id)


async def list_users(connection: Connection) -> list[dict[str, Any]]:
    """Return every user without its password, sorted by name."""
    rows = await connection.fetch(
        "SELECT u.id, u.username, u.email, u.is_active, u.last_login, c.customer_id, "
        "split_part(u.password, '$', 1) AS hash, "
        "(SELECT count(*) FROM gateway.session AS s WHERE s.user_id = u.id) AS sessions "
        'FROM gateway."user" AS u LEFT JOIN gateway.customer_user AS c ON c.user_id = u.id '
        "ORDER BY u.username"
    )
    return [dict(row) for row in rows]


async def list_sessions(connection: Connection, username: str | None) -> list[dict[str, Any]]:
    """Return the stored sessions of one user or of all, newest first, at most 1000."""
    rows = await connection.fetch(
        "SELECT left(encode(s.id_hash, 'hex'), 16) AS session, u.username, s.created_at, "
        "s.last_seen_at, s.expires_at, s.peer, s.user_agent "
        'FROM gateway.session AS s JOIN gateway."user" AS u ON u.id = s.user_id '
        "WHERE $1::text IS NULL OR u.username = $1 ORDER BY s.created_at DESC LIMIT 1000",
        username,
    )
    return [dict(row) for row in rows]


async def end_session(connection: Connection, session: str) -> int:
    """End the session of this short name; return how many were ended."""
    async with connection.transaction():
        ended = await connection.execute(
            "DELETE FROM gateway.session WHERE left(encode(id_hash, 'hex'), 16) = $1", session
        )
        await _note(connection, "session-ended", None, session=session)
    return int(ended.rpartition(" ")[2])


async def end_sessions_of(connection: Connection, username: str | None) -> int:
    """End all sessions of a user, or of all users; return how many. Raises NoSuchUserError."""
    async with connection.transaction():
        user_id: int | None = None
        if username is None:
            await connection.execute('UPDATE gateway."user" SET epoch = epoch + 1')
            ended = await connection.execute("DELETE FROM gateway.session")
        else:
            user_id = await user_id_of(connection, username)
            await connection.execute(
                'UPDATE gateway."user" SET epoch = epoch + 1 WHERE id = $1', user_id
            )
            ended = await connection.execute(
                "DELETE FROM gateway.session WHERE user_id = $1", user_id
            )
        await _note(connection, "sessions-ended", user_id)
    return int(ended.rpartition(" ")[2])


async def list_devices(connection: Connection, username: str | None) -> list[dict[str, Any]]:
    """Return the known devices of one user or of all, most recently used first, at most 1000."""
    rows = await connection.fetch(
        "SELECT left(encode(d.id_hash, 'hex'), 16) AS device, u.username, d.created_at, "
        "d.last_used_at, d.peer, d.user_agent "
        'FROM gateway.device AS d JOIN gateway."user" AS u ON u.id = d.user_id '
        "WHERE $1::text IS NULL OR u.username = $1 ORDER BY d.last_used_at DESC LIMIT 1000",
        username,
    )
    return [dict(row) for row in rows]


async def revoke_device(connection: Connection, device: str) -> int:
    """Delete the device of this short name; return how many were deleted."""
    async with connection.transaction():
        revoked = await connection.execute(
            "DELETE FROM gateway.device WHERE left(encode(id_hash, 'hex'), 16) = $1", device
        )
        await _note(connection, "device-revoked", None, device=device)
    return int(revoked.rpartition(" ")[2])


async def revoke_devices_of(connection: Connection, username: str) -> int:
    """Delete all devices of a user; return how many. Raises NoSuchUserError."""
    async with connection.transaction():
        user_id = await user_id_of(connection, username)
        revoked = await connection.execute("DELETE FROM gateway.device WHERE user_id = $1", user_id)
        await _note(connection, "devices-revoked", user_id)
    return int(revoked.rpartition(" ")[2])
