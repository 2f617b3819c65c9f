"""How events reach Postgres: a batch is one JSON text, unpacked once by the statement that uses it.

One parameter of JSON costs our process half of what a column array each does (measured); the
server pays a little more, and it has the second core.
"""

from typing import Final

import msgspec


class EventRow(msgspec.Struct, gc=False, omit_defaults=True):
    """One event of a repair: a row of its history and, if it is the `newest`, of the repair.

    Times, ids and the cost are texts as the event carries them. `newest` says that no later event
    of the same repair is in this batch. What is None is left out of the text: `occurred_at` and
    `recorded_at` (when the batch first knows of the repair) are then the same as `accepted_at`.
    """

    customer_id: int
    revision: int
    event_id: str
    fact: str
    accepted_at: str
    by: str
    repair_id: str
    unit_number: str
    repair_date: str
    month: str
    status: str
    description: str
    damage_type: str
    cost: str
    customer_notes: str
    requested_by: str
    removed: bool
    newest: bool
    occurred_at: str | None = None
    recorded_at: str | None = None
    reason: str | None = None
    batch_id: str | None = None


#: The same as Postgres sees it.
COLUMNS: Final = (
    "customer_id bigint, revision bigint, event_id uuid, fact text, accepted_at timestamptz, "
    'by text, repair_id uuid, unit_number text COLLATE "C", repair_date timestamptz, '
    'month text COLLATE "C", status text COLLATE "C", '
    "description text, damage_type text, cost numeric(12,2), customer_notes text, requested_by text, "
    "removed boolean, newest boolean, occurred_at timestamptz, recorded_at timestamptz, "
    "reason text, batch_id uuid"
)

_encoder = msgspec.json.Encoder()


#: The rows, from the first parameter of a statement: bytes, so that nobody copies a large text.
UNPACKED: Final = f"json_to_recordset(convert_from($1::bytea, 'UTF8')::json) AS row({COLUMNS})"


def pack(rows: list[EventRow]) -> bytes:
    """Return the rows as the JSON that the statements unpack."""
    return _encoder.encode(rows)
