"""Devices with which users have signed in."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# `id_hash` is the SHA-256 of what the signed cookie names. `auth_hash` is the one of the password
# column at the last sign-in: another password, set by whatever means, makes the device unknown.
_DEVICE = """
CREATE TABLE gateway.device (
    id_hash bytea PRIMARY KEY CHECK (length(id_hash) = 32),
    user_id bigint NOT NULL REFERENCES gateway."user" (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    auth_hash bytea NOT NULL,
    peer text NOT NULL,
    user_agent text NOT NULL
) WITH (fillfactor = 80)
"""
_DEVICES_OF_USER = "CREATE INDEX device_of_user ON gateway.device (user_id, last_used_at)"


def upgrade() -> None:
    op.execute(_DEVICE)
    op.execute(_DEVICES_OF_USER)


def downgrade() -> None:
    op.execute("DROP TABLE gateway.device")
