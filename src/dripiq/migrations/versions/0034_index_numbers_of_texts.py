"""Give each text that comes in an index of the numbers that texts went to: who has another number by now still says STOP from the old one."""

from alembic import op

from dripiq.migrations.indexes import Index, build_in_revision

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

BY_NUMBER = Index("ix_outbound_messages_to_address", "outbound_messages", "(to_address) WHERE channel = 'sms'")


def upgrade() -> None:
    build_in_revision(BY_NUMBER)


def downgrade() -> None:
    op.execute("DROP INDEX dripiq_app.ix_outbound_messages_to_address")
