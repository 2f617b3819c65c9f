"""The read model: customers, their repairs, counts and history, and what was set aside.

Every key begins with the customer: a row belongs to one history and to no other. Counts have no
CHECK (n >= 0): Postgres would apply it to each negative difference before it finds the row that
is to be changed. The projector looks at the sums that come back instead.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# `refold` begins at the milliseconds since 1970: a read model that was emptied and fills again
# must win over documents and pages that remember the old one.
# `as_of` is set only while the customer is parked or waits for a rebuild: it does not advance then.
_CUSTOMER = """
CREATE TABLE portal.customer (
    customer_id bigint PRIMARY KEY CHECK (customer_id > 0),
    revision bigint NOT NULL DEFAULT 0 CHECK (revision >= 0),
    event_id uuid,
    refold bigint NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
    fold_version text NOT NULL,
    parked_at timestamptz,
    parked_reason text,
    as_of timestamptz,
    accepted_at timestamptz,
    name text NOT NULL DEFAULT '', email text NOT NULL DEFAULT '', phone text NOT NULL DEFAULT '',
    address text NOT NULL DEFAULT '', city text NOT NULL DEFAULT '',
    state text NOT NULL DEFAULT '', postal_code text NOT NULL DEFAULT '',
    CHECK ((event_id IS NULL) = (revision = 0)),
    CHECK ((parked_at IS NULL) = (parked_reason IS NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05)
"""
_CUSTOMERS_STANDING_STILL = """
CREATE INDEX customer_standing_still ON portal.customer (customer_id)
    WHERE as_of IS NOT NULL OR parked_at IS NOT NULL
"""

# Room on each page keeps a change of status on the same page, without any work on the indexes.
_REPAIR = """
CREATE TABLE portal.repair (
    customer_id bigint NOT NULL,
    repair_id uuid NOT NULL,
    unit_number text COLLATE "C" NOT NULL,
    repair_date timestamptz NOT NULL,
    month text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    description text NOT NULL,
    damage_type text NOT NULL,
    cost numeric(12,2) NOT NULL,
    customer_notes text NOT NULL,
    requested_by text NOT NULL,
    batch_id uuid,
    removed boolean NOT NULL,
    revision bigint NOT NULL,
    event_id uuid NOT NULL,
    recorded_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, repair_id)
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05)
"""
_REPAIRS_BY_DATE = """
CREATE INDEX repair_by_date ON portal.repair (customer_id, repair_date, repair_id)
"""

# Dimensions: 0 unit, 1 month, 2 status. A bucket that has come to 0 stays, and is never listed.
_REPAIR_COUNT = """
CREATE TABLE portal.repair_count (
    customer_id bigint NOT NULL,
    dimension smallint NOT NULL CHECK (dimension BETWEEN 0 AND 2),
    bucket text COLLATE "C" NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (customer_id, dimension, bucket)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05)
"""

# Columns in this order leave no gaps between them: this table has a row for every event.
_REPAIR_HISTORY = """
CREATE TABLE portal.repair_history (
    customer_id bigint NOT NULL,
    revision bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    accepted_at timestamptz NOT NULL,
    repair_id uuid NOT NULL,
    event_id uuid NOT NULL,
    fact text NOT NULL,
    by text NOT NULL CHECK (by IN ('customer', 'company')),
    status text COLLATE "C" NOT NULL,
    reason text,
    PRIMARY KEY (customer_id, repair_id, revision)
)
"""

_PARTITION_PROGRESS = """
CREATE TABLE portal.partition_progress (
    topic text NOT NULL,
    partition integer NOT NULL CHECK (partition >= 0),
    as_of timestamptz NOT NULL,
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50)
"""

_DEAD_LETTER = """
CREATE TABLE portal.dead_letter (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    partition integer NOT NULL,
    record_offset bigint NOT NULL,
    key bytea,
    value bytea,
    reason text NOT NULL,
    customer_id bigint,
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
# A redelivered record is no second letter; a recreated topic counts from 0.
_DEAD_LETTER_ONCE = """
CREATE UNIQUE INDEX dead_letter_once ON portal.dead_letter
    (topic, partition, record_offset, md5(coalesce(value, ''::bytea)))
"""

_TABLES = (
    "dead_letter",
    "partition_progress",
    "repair_history",
    "repair_count",
    "repair",
    "customer",
)


def upgrade() -> None:
    for statement in (
        _CUSTOMER,
        _CUSTOMERS_STANDING_STILL,
        _REPAIR,
        _REPAIRS_BY_DATE,
        _REPAIR_COUNT,
        _REPAIR_HISTORY,
        _PARTITION_PROGRESS,
        _DEAD_LETTER,
        _DEAD_LETTER_ONCE,
    ):
        op.execute(statement)


def downgrade() -> None:
    for table in _TABLES:
        op.execute(f"DROP TABLE portal.{table}")
