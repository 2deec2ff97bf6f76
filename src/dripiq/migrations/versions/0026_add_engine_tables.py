"""Add what the engine itself needs: a tenant's switches, and the quarantine for what no tenant could be found for."""

from dripiq.migrations.scripts import drop_tables, run, statements_of

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(statements_of(__file__))


def downgrade() -> None:
    drop_tables(["tenant_settings", "webhook_quarantine"])
