"""A customer's counts in one snapshot, for the publisher and for readers without Redis.

A customer may have 10 000 units. Between parts of this work other tasks run.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from portal_query.document import Counts, Document, Version, render_in_steps

#: A pool returns a proxy with the interface of a connection.
Connection: TypeAlias = "asyncpg.Connection[Any] | PoolConnectionProxy[Any]"
Pool: TypeAlias = "asyncpg.Pool[Any]"

# 'epoch' in `as_of`: the customer was frozen before its first event, and the time is not known.
# One statement is one snapshot: counts, revision and frozen state of a customer belong together.
_COUNTS: Final = """
SELECT c.customer_id, c.refold, c.revision, c.event_id, c.accepted_at,
       nullif(c.as_of, 'epoch') AS as_of,
       c.parked_at IS NOT NULL OR c.as_of IS NOT NULL AS frozen,
       n.dimensions, n.buckets, n.numbers
FROM portal.customer AS c
CROSS JOIN LATERAL (
  SELECT array_agg(k.dimension) AS dimensions, array_agg(k.bucket) AS buckets,
         array_agg(k.n) AS numbers
  FROM portal.repair_count AS k
  WHERE k.customer_id = c.customer_id AND k.n > 0
) AS n
WHERE c.customer_id = ANY($1::bigint[])
"""

_VERSIONS: Final = """
SELECT customer_id, refold, revision FROM portal.customer WHERE customer_id = ANY($1::bigint[])
"""

# A published time stays true after the topic is replaced, so the latest of all topics holds.
_AS_OF: Final = """
SELECT partition, max(as_of) AS as_of FROM portal.partition_progress
WHERE as_of IS NOT NULL GROUP BY partition
"""

_UNIT, _MONTH, _STATUS = 0, 1, 2


async def load_counts(connection: Connection, customer_ids: Iterable[int]) -> list[Counts]:
    """Return the counts of these customers, in any order, all from one snapshot.

    Customers without a row are left out.
    """
    found = []
    for row in await connection.fetch(_COUNTS, list(customer_ids)):
        found.append(_counts(row))
        await asyncio.sleep(0)
    return found


async def render_all(counts: Iterable[Counts]) -> list[Document]:
    """Render the counts of each customer."""
    documents = []
    for one in counts:
        for document in render_in_steps(one):
            if document is None:
                await asyncio.sleep(0)
            else:
                documents.append(document)
    return documents


async def load_versions(connection: Connection, customer_ids: Iterable[int]) -> dict[int, Version]:
    """Return the version of each of these customers. Those without a row are left out."""
    rows = await connection.fetch(_VERSIONS, list(customer_ids))
    return {row["customer_id"]: Version(row["refold"], row["revision"]) for row in rows}


async def load_as_of(connection: Connection) -> dict[int, datetime]:
    """Return the watermark of each partition, by its number."""
    rows = await connection.fetch(_AS_OF)
    return {row["partition"]: row["as_of"] for row in rows}


def _counts(row: asyncpg.Record) -> Counts:
    units: list[tuple[str, int]] = []
    months: list[tuple[str, int]] = []
    statuses: dict[str, int] = {}
    lists: Sequence[Sequence[Any]] = (
        row["dimensions"] or (),
        row["buckets"] or (),
        row["numbers"] or (),
    )
    for dimension, bucket, n in zip(*lists, strict=True):
        if dimension == _UNIT:
            units.append((bucket, n))
        elif dimension == _MONTH:
            months.append((bucket, n))
        elif dimension == _STATUS:
            statuses[bucket] = n
    event_id = row["event_id"]
    return Counts(
        customer_id=row["customer_id"],
        refold=row["refold"],
        revision=row["revision"],
        event_id=None if event_id is None else str(event_id),
        accepted_at=row["accepted_at"],
        frozen=row["frozen"],
        frozen_as_of=row["as_of"],
        units=units,
        months=months,
        statuses=statuses,
    )
