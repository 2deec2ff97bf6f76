"""Add what counts against limits: a bucket for each key and period, and the slot that a message has booked."""

from dripiq.migrations.scripts import drop_columns, drop_tables, run, statements_of

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(statements_of(__file__))


def downgrade() -> None:
    drop_columns("outbound_messages", ["slot"])
    drop_tables(["send_rate_buckets"])
