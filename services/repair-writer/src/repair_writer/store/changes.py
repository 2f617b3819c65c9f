"""Saving all changes of one transaction in one statement."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from repair_events.repair import Repair
from repair_writer.store.rows import EventRow, Head
from repair_writer.store.transaction import Connection

_OR_UPDATE = """    ON CONFLICT (repair_id) DO UPDATE SET
        customer_id = excluded.customer_id, unit_number = excluded.unit_number,
        repair_date = excluded.repair_date, status = excluded.status,
        description = excluded.description, damage_type = excluded.damage_type,
        cost = excluded.cost, technician = excluded.technician,
        customer_notes = excluded.customer_notes, technician_notes = excluded.technician_notes,
        requested_by = excluded.requested_by, batch_id = excluded.batch_id,
        removed = excluded.removed, revision = excluded.revision,
        event_id = excluded.event_id, changed_at = excluded.changed_at"""

# Postgres converts texts to dates, numbers and ids faster than Python does. Outbox rows are
# inserted under the lock in stream order: the ids of one customer rise with its revisions.
_SAVE = f"""
WITH numbered AS (
    UPDATE writer.customer AS c
    SET revision = h.revision, event_id = h.event_id, changed_at = $1
    FROM unnest($2::bigint[], $3::bigint[], $4::uuid[]) AS h(customer_id, revision, event_id)
    WHERE c.customer_id = h.customer_id
), listed AS (
    INSERT INTO writer.event
        (customer_id, revision, event_id, repair_id, type, accepted_at, payload)
    SELECT customer_id, revision, event_id, repair_id, type, $1, payload
    FROM unnest($5::bigint[], $6::bigint[], $7::uuid[], $8::uuid[], $9::text[], $10::bytea[])
        AS e(customer_id, revision, event_id, repair_id, type, payload)
), stated AS (
    INSERT INTO writer.repair
        (repair_id, customer_id, unit_number, repair_date, status, description, damage_type,
         cost, technician, customer_notes, technician_notes, requested_by, batch_id, source,
         source_ref, removed, revision, event_id, created_at, changed_at)
    SELECT repair_id, customer_id, unit_number, repair_date::timestamptz, status, description,
         damage_type, cost::numeric, technician, customer_notes, technician_notes, requested_by,
         batch_id, source, source_ref, removed, revision, event_id, $1, $1
    FROM unnest($11::uuid[], $12::bigint[], $13::text[], $14::text[], $15::text[], $16::text[],
                $17::text[], $18::text[], $19::text[], $20::text[], $21::text[], $22::text[],
                $23::uuid[], $24::text[], $25::text[], $26::boolean[], $27::bigint[],
                $28::uuid[])
        AS r(repair_id, customer_id, unit_number, repair_date, status, description, damage_type,
             cost, technician, customer_notes, technician_notes, requested_by, batch_id, source,
             source_ref, removed, revision, event_id)
{_OR_UPDATE}
), answered AS (
    INSERT INTO writer.idempotency_key (key_digest, request_digest, outcome, created_at)
    SELECT $29, $30, $31, $1 WHERE $29::bytea IS NOT NULL
)
INSERT INTO writer.outbox (customer_id, event_id, payload, accepted_at)
SELECT customer_id, event_id, payload, $1
FROM unnest($5::bigint[], $7::uuid[], $10::bytea[]) WITH ORDINALITY
    AS e(customer_id, event_id, payload, place)
ORDER BY place
"""  # noqa: S608 - constants only

# The usual command: one event of one repair. Plain values cost half as much as arrays, in the
# driver and in Postgres.
_SAVE_ONE = """
WITH numbered AS (
    UPDATE writer.customer SET revision = $3, event_id = $4, changed_at = $1
    WHERE customer_id = $2
), listed AS (
    INSERT INTO writer.event
        (customer_id, revision, event_id, repair_id, type, accepted_at, payload)
    VALUES ($2, $3, $4, $5, $6, $1, $7)
), stated AS (
    INSERT INTO writer.repair
        (repair_id, customer_id, unit_number, repair_date, status, description, damage_type,
         cost, technician, customer_notes, technician_notes, requested_by, batch_id, source,
         source_ref, removed, revision, event_id, created_at, changed_at)
    VALUES ($5, $2, $8, $9::text::timestamptz, $10, $11, $12, $13::text::numeric, $14, $15, $16,
            $17, $18, $19, $20, $21, $3, $4, $1, $1)
    {or_update}
)
INSERT INTO writer.outbox (customer_id, event_id, payload, accepted_at) VALUES ($2, $4, $7, $1)
"""
_SAVE_NEW = _SAVE_ONE.format(or_update="")
_SAVE_CHANGED = _SAVE_ONE.format(or_update=_OR_UPDATE)

#: From this many events on, rows are copied: several statements, but a lower cost a row.
_MANY = 20
_EVENT_COLUMNS = (
    "customer_id", "revision", "event_id", "repair_id", "type", "accepted_at", "payload",
)  # fmt: skip
_OUTBOX_COLUMNS = ("customer_id", "event_id", "payload", "accepted_at")
_REPAIR_COLUMNS = (
    "repair_id", "customer_id", "unit_number", "repair_date", "status", "description",
    "damage_type", "cost", "technician", "customer_notes", "technician_notes", "requested_by",
    "batch_id", "source", "source_ref", "removed", "revision", "event_id", "created_at",
    "changed_at",
)  # fmt: skip


class Stated(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A repair after its last event of this transaction. `new` means it has no row yet."""

    repair: Repair
    revision: int
    event_id: str
    new: bool


class Kept(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The outcome of a command under its idempotency key."""

    key_digest: bytes
    request_digest: bytes
    outcome: bytes


async def save_changes(
    connection: Connection,
    accepted_at: datetime,
    *,
    heads: Sequence[Head],
    events: Sequence[EventRow],
    repairs: Sequence[Stated],
    kept: Kept | None = None,
) -> None:
    """Write heads, events in their order, repairs (each once), outbox rows and the outcome.

    From `_MANY` events on, several statements are sent.
    """
    if kept is None and len(events) == 1 and len(repairs) == 1:
        await _save_one(connection, accepted_at, events[0], repairs[0])
        return
    if len(events) >= _MANY:
        await _copy(connection, accepted_at, events, [one for one in repairs if one.new])
        events, repairs = (), [one for one in repairs if not one.new]
    await connection.execute(
        _SAVE,
        accepted_at,
        [head.customer_id for head in heads],
        [head.revision for head in heads],
        [head.event_id for head in heads],
        [event.customer_id for event in events],
        [event.revision for event in events],
        [event.event_id for event in events],
        [event.repair_id for event in events],
        [event.type for event in events],
        [event.payload for event in events],
        *_repair_columns(repairs),
        kept and kept.key_digest,
        kept and kept.request_digest,
        kept and kept.outcome,
    )


async def _save_one(
    connection: Connection, accepted_at: datetime, event: EventRow, stated: Stated
) -> None:
    repair = stated.repair
    await connection.execute(
        _SAVE_NEW if stated.new else _SAVE_CHANGED,
        accepted_at,
        event.customer_id,
        event.revision,
        event.event_id,
        repair.repair_id,
        event.type,
        event.payload,
        repair.unit_number,
        repair.repair_date,
        repair.status,
        repair.description,
        repair.damage_type,
        repair.cost,
        repair.technician,
        repair.customer_notes,
        repair.technician_notes,
        repair.requested_by,
        repair.batch_id,
        repair.source,
        repair.source_ref,
        repair.removed,
    )


async def _copy(
    connection: Connection, at: datetime, events: Sequence[EventRow], repairs: Sequence[Stated]
) -> None:
    """Copy events and outbox rows in their order, and the given new repairs."""
    listed = [
        (one.customer_id, one.revision, one.event_id, one.repair_id, one.type, at, one.payload)
        for one in events
    ]
    await _copy_to(connection, "event", _EVENT_COLUMNS, listed)
    await _copy_to(connection, "repair", _REPAIR_COLUMNS, [_row(one, at) for one in repairs])
    waiting = [(one.customer_id, one.event_id, one.payload, at) for one in events]
    await _copy_to(connection, "outbox", _OUTBOX_COLUMNS, waiting)


async def _copy_to(
    connection: Connection, table: str, columns: Sequence[str], rows: Sequence[tuple[object, ...]]
) -> None:
    await connection.copy_records_to_table(
        table, schema_name="writer", columns=columns, records=rows
    )


def _row(stated: Stated, at: datetime) -> tuple[object, ...]:
    repair = stated.repair
    return (
        repair.repair_id,
        repair.customer_id,
        repair.unit_number,
        datetime.fromisoformat(repair.repair_date),
        repair.status,
        repair.description,
        repair.damage_type,
        repair.cost,
        repair.technician,
        repair.customer_notes,
        repair.technician_notes,
        repair.requested_by,
        repair.batch_id,
        repair.source,
        repair.source_ref,
        repair.removed,
        stated.revision,
        stated.event_id,
        at,
        at,
    )


def _repair_columns(stated: Sequence[Stated]) -> list[list[object]]:
    rows = [one.repair for one in stated]
    return [
        [row.repair_id for row in rows],
        [row.customer_id for row in rows],
        [row.unit_number for row in rows],
        [row.repair_date for row in rows],
        [row.status for row in rows],
        [row.description for row in rows],
        [row.damage_type for row in rows],
        [row.cost for row in rows],
        [row.technician for row in rows],
        [row.customer_notes for row in rows],
        [row.technician_notes for row in rows],
        [row.requested_by for row in rows],
        [row.batch_id for row in rows],
        [row.source for row in rows],
        [row.source_ref for row in rows],
        [row.removed for row in rows],
        [one.revision for one in stated],
        [one.event_id for one in stated],
    ]
