"""Add what lets senders take turns, and pauses one: its weight, why it is paused and since when its rates count; how a campaign came by its sender."""

from alembic import op

from dripiq.migrations.scripts import drop_columns, run, statements_of

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(statements_of(__file__))


def downgrade() -> None:
    # How a campaign came by its sender: shown, and nothing is decided by it.
    op.execute("ALTER TABLE dripiq_app.contact_campaigns DROP COLUMN sender_choice")
    drop_columns(
        "email_sender_identities", ["rotation_weight", "paused_at", "pause_reason", "pause_note", "rates_since"]
    )
