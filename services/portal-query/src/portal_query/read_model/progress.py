"""SQL of the watermarks: until when each partition has been published."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from portal_query.read_model.postgres import Connection

# to_regclass instead of a constant: a prepared statement must see recreated tables.
_GENERATION: Final = "SELECT to_regclass('portal.partition_progress')::oid"

# Never backwards: a published time stays true. A time of other tables proves nothing about these,
# so it is not stored.
_PUT: Final = """
INSERT INTO portal.partition_progress AS held (topic, partition, as_of)
SELECT $1::text, * FROM unnest($2::int[], $3::timestamptz[])
WHERE to_regclass('portal.partition_progress')::oid = $4::oid
ON CONFLICT (topic, partition) DO UPDATE SET as_of = greatest(held.as_of, excluded.as_of)
"""


async def generation(connection: Connection) -> int | None:
    """Return a number that changes when the read model's tables are dropped and created again.

    None while there are no tables.
    """
    found: int | None = await connection.fetchval(_GENERATION)
    return found


async def put_as_of(
    connection: Connection, topic: str, times: Mapping[int, datetime], tables: int
) -> None:
    """Store the watermarks of these partitions, if `tables` is the current generation."""
    await connection.execute(_PUT, topic, list(times), list(times.values()), tables)
