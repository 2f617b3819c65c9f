"""Customers: locks, heads and profiles."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from repair_events.repair import Customer
from repair_writer.store.rows import (
    CUSTOMER_COLUMNS,
    Head,
    HeldCustomer,
    held_customer,
    moment_text,
)
from repair_writer.store.transaction import Connection

# The key's advisory lock is tried first, without waiting. If it fails, no customer is locked.
# Customers are locked in the order of their ids, which prevents deadlocks between commands.
_LOCK = """
WITH key AS MATERIALIZED (
    SELECT CASE WHEN $3::bigint IS NULL THEN true ELSE pg_try_advisory_xact_lock($3) END AS free
)
SELECT key.free, c.customer_id, c.revision, c.event_id, c.changed_at
FROM key LEFT JOIN LATERAL (
    SELECT customer_id, revision, event_id, changed_at FROM writer.customer
    WHERE key.free AND customer_id = ANY (
        $1::bigint[] || ARRAY(SELECT customer_id FROM writer.repair WHERE repair_id = $2::uuid)
    )
    ORDER BY customer_id FOR UPDATE
) c ON true
"""


async def lock_customers(
    connection: Connection,
    customer_ids: Sequence[int],
    *,
    owning: str | None = None,
    key_lock: int | None = None,
) -> dict[int, Head] | None:
    """Lock these customers, and the present customer of the repair `owning`.

    Return the heads of the existing customers, by customer id.
    Return None, without any lock, if another transaction holds `key_lock`.
    """
    rows = await connection.fetch(_LOCK, customer_ids, owning, key_lock)
    if not rows[0]["free"]:
        return None
    return {
        row["customer_id"]: Head(
            customer_id=row["customer_id"],
            revision=row["revision"],
            event_id=None if row["event_id"] is None else str(row["event_id"]),
            changed_at=row["changed_at"],
        )
        for row in rows
        if row["customer_id"] is not None
    }


async def make_customer(connection: Connection, customer_id: int) -> bool:
    """Insert an empty customer at revision 0. Return False if the customer exists already.

    The caller must append the first event before the transaction ends.
    """
    status = await connection.execute(
        "INSERT INTO writer.customer (customer_id, revision, changed_at)"
        " VALUES ($1, 0, clock_timestamp()) ON CONFLICT DO NOTHING",
        customer_id,
    )
    return status == "INSERT 0 1"


async def read_customer(connection: Connection, customer_id: int) -> HeldCustomer | None:
    """Return the profile of a customer. None if the customer does not exist."""
    row = await connection.fetchrow(
        f"SELECT {CUSTOMER_COLUMNS} FROM writer.customer WHERE customer_id = $1",  # noqa: S608
        customer_id,
    )
    return None if row is None else held_customer(row)


async def save_profile(connection: Connection, customer: Customer) -> None:
    """Write the profile's fields. `save_changes` writes the revision."""
    await connection.execute(
        "UPDATE writer.customer SET name = $2, email = $3, phone = $4, address = $5, city = $6,"
        " state = $7, postal_code = $8 WHERE customer_id = $1",
        customer.customer_id,
        customer.name,
        customer.email,
        customer.phone,
        customer.address,
        customer.city,
        customer.state,
        customer.postal_code,
    )


async def read_heads(
    connection: Connection, *, changed_since: datetime | None, after: int, limit: int
) -> Iterable[dict[str, object]]:
    """Return at most `limit` heads of customers above `after`, in the order of their ids.

    `changed_since` selects heads that changed at or after that moment.
    """
    rows = await connection.fetch(
        "SELECT customer_id, revision, event_id, changed_at FROM writer.customer"
        " WHERE customer_id > $1 AND ($2::timestamptz IS NULL OR changed_at >= $2)"
        " ORDER BY customer_id LIMIT $3",
        after,
        changed_since,
        limit,
    )
    return [
        {
            "customer_id": row["customer_id"],
            "revision": row["revision"],
            "event_id": str(row["event_id"]),
            "changed_at": moment_text(row["changed_at"]),
        }
        for row in rows
    ]
