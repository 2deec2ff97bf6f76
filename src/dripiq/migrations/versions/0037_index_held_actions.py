"""Give upkeep an index of what is held: it looks every minute whose sends are held for a paused sender, however long the history is."""

from alembic import op

from dripiq.migrations.indexes import Index, build_in_revision

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

HELD = Index("ix_scheduled_actions_tenant_id_reason", "scheduled_actions", "(tenant_id, reason) WHERE status = 'held'")


def upgrade() -> None:
    build_in_revision(HELD)


def downgrade() -> None:
    op.execute("DROP INDEX dripiq_app.ix_scheduled_actions_tenant_id_reason")
