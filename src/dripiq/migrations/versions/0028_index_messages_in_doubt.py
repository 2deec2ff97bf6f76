"""Give upkeep an index of the few messages that a worker has in hand or may have lost; it asks for them every few seconds."""

from alembic import op

from dripiq.migrations.indexes import Index, build_in_revision

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

IN_DOUBT = Index(
    "ix_outbound_messages_status_updated_at",
    "outbound_messages",
    "(status, updated_at) WHERE status IN ('sending', 'in_doubt')",
)


def upgrade() -> None:
    build_in_revision(IN_DOUBT)


def downgrade() -> None:
    op.execute("DROP INDEX dripiq_app.ix_outbound_messages_status_updated_at")
