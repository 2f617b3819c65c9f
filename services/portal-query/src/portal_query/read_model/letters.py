"""SQL of dead letters: records outside every stream, stored with their bytes.

A flood of records must not fill the disk. So only the newest are stored, each with as many bytes as
a person would read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from portal_query.read_model.postgres import Connection

#: How many dead letters are stored, and how many bytes of each key and value.
KEPT: Final = 10_000
KEY_BYTES: Final = 1_024
VALUE_BYTES: Final = 16_384


@dataclass(frozen=True, slots=True)
class Letter:
    """A rejected record, the reason, and the customer that it names, if any."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    reason: str
    customer_id: int | None


@dataclass(frozen=True, slots=True)
class KeptLetter:
    """A dead letter as the table holds it."""

    id: int
    letter: Letter
    seen_at: datetime


_PUT: Final = """
INSERT INTO portal.dead_letter
  (topic, partition, record_offset, key, value, reason, customer_id)
SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bytea[], $5::bytea[], $6::text[],
  $7::bigint[])
ON CONFLICT DO NOTHING
"""

# By number rather than by age: a flood is over in seconds.
_DROP_OLD: Final = """
DELETE FROM portal.dead_letter WHERE id <
  (SELECT id FROM portal.dead_letter ORDER BY id DESC OFFSET $1 - 1 LIMIT 1)
"""

_COLUMNS: Final = "id, topic, partition, record_offset, key, value, reason, customer_id, seen_at"


async def put(connection: Connection, letters: Sequence[Letter]) -> None:
    """Store these records, each once, and delete all but the newest `KEPT`."""
    await connection.execute(
        _PUT,
        [one.topic for one in letters],
        [one.partition for one in letters],
        [one.offset for one in letters],
        [_cut(one.key, KEY_BYTES) for one in letters],
        [_cut(one.value, VALUE_BYTES) for one in letters],
        [_reason(one) for one in letters],
        [one.customer_id for one in letters],
    )
    await connection.execute(_DROP_OLD, KEPT)


async def newest(connection: Connection, limit: int) -> list[KeptLetter]:
    """Return the newest dead letters, newest first, at most `limit`."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM portal.dead_letter ORDER BY id DESC LIMIT $1",  # noqa: S608 - ours
        limit,
    )
    return [KeptLetter(row[0], Letter(*row[1:8]), row[8]) for row in rows]


async def one(connection: Connection, letter_id: int) -> KeptLetter | None:
    """Return the dead letter with this id, None when there is none."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM portal.dead_letter WHERE id = $1",  # noqa: S608 - ours
        letter_id,
    )
    return None if row is None else KeptLetter(row[0], Letter(*row[1:8]), row[8])


def _cut(text: bytes | None, most: int) -> bytes | None:
    return None if text is None else text[:most]


def _reason(letter: Letter) -> str:
    size = len(letter.value or b"")
    if size <= VALUE_BYTES:
        return letter.reason
    return f"{letter.reason} (the first {VALUE_BYTES} of {size} bytes are kept)"
