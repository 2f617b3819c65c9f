"""API keys: the table holds only the SHA-256 of each secret."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg
import msgspec

from repair_writer.store.transaction import Connection, new_connection


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """One API key. Times have a zone, and `live` is computed by the database's clock.

    New repairs of the key carry the first of `sources`. `customers` None allows all.
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
    """A key to insert or renew."""

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
    """Return the existing keys of these ids, by id."""
    rows = await connection.fetch(f"{_SELECT} WHERE key_id = ANY($1::text[])", key_ids)
    return {row["key_id"]: _key(row) for row in rows}


async def check_keys(url: str) -> None:
    """Look up a key on a new connection; raises what the driver raises."""
    async with new_connection(url) as connection:
        await find_keys(connection, ["-"])


async def list_keys(connection: Connection) -> list[KeyRow]:
    """Return all keys, oldest first."""
    rows = await connection.fetch(f"{_SELECT} ORDER BY created_at, key_id")
    return [_key(row) for row in rows]


async def lock_client(connection: Connection, client: str) -> None:
    """Lock this client's keys until the transaction ends: no other may count or add them."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtext('api key'), hashtext($1))", client
    )


async def count_live_keys(connection: Connection, client: str) -> int:
    """Return the number of keys of a client that are neither revoked nor expired."""
    count: int = await connection.fetchval(
        "SELECT count(*) FROM writer.api_key"
        " WHERE client = $1 AND revoked_at IS NULL AND expires_at > clock_timestamp()",
        client,
    )
    return count


async def find_key(connection: Connection, key_id: str) -> KeyRow | None:
    """Return one key by its id. None if there is none."""
    row = await connection.fetchrow(f"{_SELECT} WHERE key_id = $1", key_id)
    return None if row is None else _key(row)


async def insert_key(connection: Connection, key: NewKey, days: int) -> None:
    """Insert a new key that is valid for `days`."""
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
    """Make a key valid for `days` from now, with these scopes, sources and customers."""
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
    """Revoke a key and return its client. None if no unrevoked key has this id."""
    client: str | None = await connection.fetchval(
        "UPDATE writer.api_key SET revoked_at = clock_timestamp()"
        " WHERE key_id = $1 AND revoked_at IS NULL RETURNING client",
        key_id,
    )
    return client
