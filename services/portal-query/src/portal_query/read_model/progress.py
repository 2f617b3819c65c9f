"""The SQL of freshness: until when each partition has been published."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from portal_query.read_model.postgres import Connection

# Never backwards: what was published until then stays published.
_PUT: Final = """
INSERT INTO portal.partition_progress AS held (topic, partition, as_of)
SELECT $1::text, * FROM unnest($2::int[], $3::timestamptz[])
ON CONFLICT (topic, partition) DO UPDATE SET as_of = greatest(held.as_of, excluded.as_of)
"""


async def put_as_of(connection: Connection, topic: str, times: Mapping[int, datetime]) -> None:
    """Say until when each of these partitions has been published."""
    await connection.execute(_PUT, topic, list(times), list(times.values()))
