"""Indexes for the lists: one for each order, and one for each filter.

Each begins with the customer and ends with the repair, so that a page starts where the last one
ended. A change of status now updates these indexes; the tables of 0001 avoided that.
Without them a list of 100 000 repairs takes a tenth of a second, see decision 0008.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# By date is in 0001.
_INDEXES = {
    "repair_by_unit": "customer_id, unit_number, repair_id",
    "repair_by_cost": "customer_id, cost, repair_id",
    "repair_by_change": "customer_id, changed_at, repair_id",
    "repair_by_status": "customer_id, status, repair_date, repair_id",
}


def upgrade() -> None:
    for name, columns in _INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON portal.repair ({columns}) WHERE NOT removed")


def downgrade() -> None:
    for name in _INDEXES:
        op.execute(f"DROP INDEX portal.{name}")
