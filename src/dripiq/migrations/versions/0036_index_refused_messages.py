"""Give upkeep an index of the messages that were refused: it counts them against their senders, however long the history is."""

from alembic import op

from dripiq.migrations.indexes import Index, build_in_revision

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

REFUSED = Index(
    "ix_outbound_messages_tenant_id_updated_at", "outbound_messages", "(tenant_id, updated_at) WHERE status = 'failed'"
)


def upgrade() -> None:
    build_in_revision(REFUSED)


def downgrade() -> None:
    op.execute("DROP INDEX dripiq_app.ix_outbound_messages_tenant_id_updated_at")
