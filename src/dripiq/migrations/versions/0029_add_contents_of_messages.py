"""Add what else a message says: its HTML part, as sent, and which of its node's variants it is."""

from dripiq.migrations.scripts import drop_columns, run, statements_of

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(statements_of(__file__))


def downgrade() -> None:
    drop_columns("outbound_messages", ["rendered_html", "variant"])
