"""API keys: only the SHA-256 of a secret is ever stored."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg
import msgspec

from repair_writer.store.transaction import Connection, new_connection


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """One API key; times are aware, `live` is judged by the database's clock.

    The first of `sources` is what the key publishes under; `customers` None stands for all.
    """

    key_id: str
    secret_sha256: bytes
    client: str
    scopes: frozenset[str]
    sources: tuple[str, ...]
    customers: frozenset[int] | None
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None
    live: bool


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key to be written."""

    key_id: str
    secret_sha256: bytes
    client: str
    scopes: list[str]
    sources: list[str]
    customers: list[int] | None


_SELECT = """
SELECT key_id, secret_sha256, client, scopes, coalesce(sources, ARRAY[client]) AS sources,
    customers, created_at, expires_at, revoked_at, last_used_at,
    revoked_at IS NULL AND expires_at > clock_timestamp() AS live
FROM writer.api_key
"""


def _key(row: asyncpg.Record) -> KeyRow:
    customers = row["customers"]
    return KeyRow(
        **{
            **row,
            "scopes": frozenset(row["scopes"]),
            "sources": tuple(row["sources"]),
            "customers": None if customers is None else frozenset(customers),
        }
    )


async def find_keys(connection: Connection, key_ids: Sequence[str]) -> dict[str, KeyRow]:
    """Return the keys that exist of these ids."""
    rows = await connection.fetch(f"{_SELECT} WHERE key_id = ANY($1::text[])", key_ids)
    return {row["key_id"]: _key(row) for row in rows}


async def check_keys(url: str) -> None:
    """Look up a key on a new connection; raises what the driver raises."""
    async with new_connection(url) as connection:
        await find_keys(connection, ["-"])


async def list_keys(connection: Connection) -> list[KeyRow]:
    """Return every key, oldest first."""
    rows = await connection.fetch(f"{_SELECT} ORDER BY created_at, key_id")
    return [_key(row) for row in rows]


async def lock_client(connection: Connection, client: str) -> None:
    """Let no other transaction count or add this client's keys until this one ends."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtext('api key'), hashtext($1))", client
    )


async def count_live_keys(connection: Connection, client: str) -> int:
    """Return how many keys of a client work at this moment."""
    count: int = await connection.fetchval(
        "SELECT count(*) FROM writer.api_key"
        " WHERE client = $1 AND revoked_at IS NULL AND expires_at > clock_timestamp()",
        client,
    )
    return count


async def find_key(connection: Connection, key_id: str) -> KeyRow | None:
    """Return one key by its id."""
    row = await connection.fetchrow(f"{_SELECT} WHERE key_id = $1", key_id)
    return None if row is None else _key(row)


async def insert_key(connection: Connection, key: NewKey, days: int) -> None:
    """Write a new key that lives for `days`."""
    await connection.execute(
        "INSERT INTO writer.api_key"
        " (key_id, secret_sha256, client, scopes, sources, customers, expires_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp() + make_interval(days => $7))",
        key.key_id,
        key.secret_sha256,
        key.client,
        key.scopes,
        key.sources,
        key.customers,
        days,
    )


async def renew_key(connection: Connection, key: NewKey, days: int) -> None:
    """Let a key live for `days` from now, with these scopes, sources and customers."""
    await connection.execute(
        "UPDATE writer.api_key SET scopes = $2, sources = $3, customers = $4,"
        " expires_at = clock_timestamp() + make_interval(days => $5) WHERE key_id = $1",
        key.key_id,
        key.scopes,
        key.sources,
        key.customers,
        days,
    )


async def revoke_key(connection: Connection, key_id: str) -> str | None:
    """Revoke a key; return its client, None when there was no key to revoke."""
    client: str | None = await connection.fetchval(
        "UPDATE writer.api_key SET revoked_at = clock_timestamp()"
        " WHERE key_id = $1 AND revoked_at IS NULL RETURNING client",
        key_id,
    )
    return client
