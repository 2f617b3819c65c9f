"""The writer's tables: customers, repairs, the list of events, the outbox, keys and answers."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_PROFILE = """
    name text NOT NULL DEFAULT '', email text NOT NULL DEFAULT '', phone text NOT NULL DEFAULT '',
    address text NOT NULL DEFAULT '', city text NOT NULL DEFAULT '',
    state text NOT NULL DEFAULT '', postal_code text NOT NULL DEFAULT '',
"""

# Room on each page keeps the update of every command on the same page (HOT), without index work.
_CUSTOMER = f"""
CREATE TABLE writer.customer (
    customer_id bigint PRIMARY KEY CHECK (customer_id > 0),
    {_PROFILE}
    revision bigint NOT NULL CHECK (revision >= 0),
    event_id uuid,
    changed_at timestamptz NOT NULL,
    CHECK ((event_id IS NULL) = (revision = 0))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05)
"""

_REPAIR = """
CREATE TABLE writer.repair (
    repair_id uuid PRIMARY KEY,
    customer_id bigint NOT NULL,
    unit_number text NOT NULL,
    repair_date timestamptz NOT NULL,
    status text NOT NULL CHECK
        (status IN ('REQUESTED','PENDING','APPROVED','IN_PROGRESS','COMPLETED','DENIED')),
    description text NOT NULL,
    damage_type text NOT NULL,
    cost numeric(12,2) NOT NULL CHECK (cost >= 0),
    technician text NOT NULL,
    customer_notes text NOT NULL,
    technician_notes text NOT NULL,
    requested_by text NOT NULL CHECK (requested_by IN ('customer','internal')),
    batch_id uuid,
    source text NOT NULL,
    source_ref text,
    removed boolean NOT NULL,
    revision bigint NOT NULL,
    event_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    UNIQUE (source, source_ref)
) WITH (fillfactor = 85)
"""

_EVENT = """
CREATE TABLE writer.event (
    customer_id bigint NOT NULL,
    revision bigint NOT NULL CHECK (revision > 0),
    event_id uuid NOT NULL UNIQUE,
    repair_id uuid,
    type text NOT NULL,
    accepted_at timestamptz NOT NULL,
    payload bytea NOT NULL,
    PRIMARY KEY (customer_id, revision)
)
"""

# The sequence hands out one number at a time: ids of one customer are in the order of its lock.
_OUTBOX = """
CREATE TABLE writer.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    customer_id bigint NOT NULL,
    event_id uuid NOT NULL,
    payload bytea NOT NULL,
    accepted_at timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)
"""

_OUTBOX_REFUSED = """
CREATE TABLE writer.outbox_refused (
    id bigint PRIMARY KEY,
    customer_id bigint NOT NULL,
    event_id uuid NOT NULL,
    payload bytea NOT NULL,
    accepted_at timestamptz NOT NULL,
    reason text NOT NULL,
    refused_at timestamptz NOT NULL DEFAULT now()
)
"""

_API_KEY = """
CREATE TABLE writer.api_key (
    key_id text PRIMARY KEY,
    secret_sha256 bytea NOT NULL CHECK (length(secret_sha256) = 32),
    client text NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    last_used_at timestamptz
)
"""

_IDEMPOTENCY_KEY = """
CREATE TABLE writer.idempotency_key (
    key_digest bytea PRIMARY KEY,
    request_digest bytea NOT NULL,
    outcome bytea NOT NULL,
    created_at timestamptz NOT NULL
)
"""


def upgrade() -> None:
    """Make the tables."""
    for statement in (
        _CUSTOMER,
        _REPAIR,
        _EVENT,
        _OUTBOX,
        _OUTBOX_REFUSED,
        _API_KEY,
        _IDEMPOTENCY_KEY,
    ):
        op.execute(statement)
    op.execute("CREATE INDEX outbox_accepted_at ON writer.outbox (accepted_at)")
    op.execute("CREATE INDEX idempotency_key_created_at ON writer.idempotency_key (created_at)")


def downgrade() -> None:
    """Refuse: the list of events is the truth, and no step back may drop it."""
    raise NotImplementedError("The writer's list is never dropped; restore from a backup instead.")
