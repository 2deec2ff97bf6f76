"""Let one worker at a time read a sender's own mailbox: when it is due, when it was read, and what was wrong."""

from alembic import op

from dripiq.migrations.scripts import run, statements_of

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(statements_of(__file__))


def downgrade() -> None:
    # When a mailbox is read next, and what was wrong with it: who reads it finds out again.
    op.execute(
        "ALTER TABLE dripiq_app.sender_accounts DROP COLUMN imap_due_at, DROP COLUMN imap_read_at, DROP COLUMN imap_failures, DROP COLUMN imap_error"
    )
