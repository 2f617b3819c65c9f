"""API keys are bound to sources and customers, and an audit says what happened to each key."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# No sources: the key was made before this step, and publishes under its client's name.
_BINDING = "ALTER TABLE writer.api_key ADD COLUMN sources text[], ADD COLUMN customers bigint[]"

_AUDIT = """
CREATE TABLE writer.audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    what text NOT NULL,
    key_id text NOT NULL,
    client text NOT NULL,
    actor text NOT NULL,
    origin text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'
)
"""


def upgrade() -> None:
    """Add the columns and the table, which the writer's own role may only read and append to."""
    op.execute(_BINDING)
    op.execute(_AUDIT)
    op.execute("CREATE INDEX audit_of_key ON writer.audit (key_id, what, at)")
    op.execute("REVOKE UPDATE, DELETE, TRUNCATE ON writer.audit FROM CURRENT_USER")


def downgrade() -> None:
    """Refuse: without its binding a key would act on every source."""
    raise NotImplementedError("A key's binding is never dropped; restore from a backup instead.")
