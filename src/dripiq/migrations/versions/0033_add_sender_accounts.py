"""Add the accounts that senders have of their own."""

from dripiq.migrations.scripts import drop_tables, run, statements_of

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(statements_of(__file__))


def downgrade() -> None:
    drop_tables(["sender_accounts"])
