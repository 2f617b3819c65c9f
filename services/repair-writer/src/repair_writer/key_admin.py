"""Creation, adoption and revocation of API keys, each with its audit entry in one transaction."""

import re
from typing import Any, Final

import msgspec

from repair_writer.callers import ApiKey
from repair_writer.store.audit import (
    ADOPTED,
    CHANGED,
    CREATED,
    RENEWED,
    REVOKED,
    Operator,
    append_audit,
    was_audited_today,
)
from repair_writer.store.keys import (
    KeyRow,
    NewKey,
    count_live_keys,
    find_key,
    insert_key,
    lock_client,
    renew_key,
    revoke_key,
)
from repair_writer.store.transaction import Connection, Pool, transaction

#: The key in use and its successor, which permits rotation without a pause.
MAX_LIVE_KEYS: Final = 2
MAX_SOURCES: Final = 20
MAX_CUSTOMERS: Final = 1_000

CLIENT_PATTERN: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,48}[a-z0-9])?")


class KeyRefusedError(Exception):
    """The key cannot be created or adopted. The message gives the reason and the remedy."""


class KeyGrant(msgspec.Struct, frozen=True, kw_only=True):
    """The client and the rights of a key. `customers` None allows all.

    New repairs of the key carry the first of `sources`. The default source is the client's name.
    """

    client: str
    scopes: frozenset[str]
    sources: tuple[str, ...] = ()
    customers: frozenset[int] | None = None

    def to_row(self, key: ApiKey) -> NewKey:
        """Return the row of a key with these rights."""
        return NewKey(
            key_id=key.key_id,
            secret_sha256=key.secret_sha256,
            client=self.client,
            scopes=sorted(self.scopes),
            sources=list(self.sources or (self.client,)),
            customers=None if self.customers is None else sorted(self.customers),
        )


async def create_key(pool: Pool, key: ApiKey, grant: KeyGrant, days: int, by: Operator) -> None:
    """Insert a new key that is valid for `days`.

    Raises KeyRefusedError when the client already has two live keys.
    """
    row = grant.to_row(key)
    async with transaction(pool) as connection:
        await lock_client(connection, grant.client)
        await _check_room(connection, grant.client)
        await insert_key(connection, row, days)
        await _audit(connection, CREATED, row, days, by)


async def adopt_key(pool: Pool, key: ApiKey, grant: KeyGrant, days: int, by: Operator) -> None:
    """Insert a key that was created elsewhere, or renew it with these rights and days.

    Raises KeyRefusedError for a revoked key, the id of another key, or a third live key.
    """
    row = grant.to_row(key)
    async with transaction(pool) as connection:
        await lock_client(connection, grant.client)
        found = await find_key(connection, key.key_id)
        if found is None:
            await _check_room(connection, grant.client)
            await insert_key(connection, row, days)
            await _audit(connection, ADOPTED, row, days, by)
        elif found.revoked_at is not None:
            raise KeyRefusedError(f"{key.key_id} has been revoked; make another key.")
        elif (found.secret_sha256, found.client) != (row.secret_sha256, grant.client):
            raise KeyRefusedError(f"The id {key.key_id} is another key's; make another key.")
        else:
            await renew_key(connection, row, days)
            await _audit_renewal(connection, found, row, days, by)


async def end_key(pool: Pool, key_id: str, by: Operator) -> bool:
    """Revoke a key. Return False if no unrevoked key has this id."""
    async with transaction(pool) as connection:
        client = await revoke_key(connection, key_id)
        if client is not None:
            await append_audit(connection, REVOKED, key_id=key_id, client=client, by=by, detail={})
    return client is not None


async def _check_room(connection: Connection, client: str) -> None:
    if await count_live_keys(connection, client) >= MAX_LIVE_KEYS:
        raise KeyRefusedError(
            f"{client} has {MAX_LIVE_KEYS} live keys; revoke one first: repair-writer keys list"
        )


async def _audit(connection: Connection, what: str, row: NewKey, days: int, by: Operator) -> None:
    detail: dict[str, Any] = {
        "scopes": row.scopes,
        "sources": row.sources,
        "customers": row.customers,
        "days": days,
    }
    await append_audit(connection, what, key_id=row.key_id, client=row.client, by=by, detail=detail)


async def _audit_renewal(
    connection: Connection, before: KeyRow, row: NewKey, days: int, by: Operator
) -> None:
    """Append an audit entry for each change of rights, or for a renewal at most once a day.

    Each start of a system renews its key.
    """
    rights = (sorted(before.scopes), list(before.sources))
    customers = None if before.customers is None else sorted(before.customers)
    if (*rights, customers) != (row.scopes, row.sources, row.customers):
        await _audit(connection, CHANGED, row, days, by)
    elif not await was_audited_today(connection, RENEWED, row.key_id):
        await _audit(connection, RENEWED, row, days, by)
