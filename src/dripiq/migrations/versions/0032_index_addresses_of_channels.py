"""Give whoever asks whose an address or number is an index: each text that comes in does, and each suppression."""

from alembic import op

from dripiq.migrations.indexes import Index, build_in_revision

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

BY_VALUE = Index("ix_contact_channels_value_channel", "contact_channels", "(value, channel)")


def upgrade() -> None:
    build_in_revision(BY_VALUE)


def downgrade() -> None:
    op.execute("DROP INDEX dripiq_app.ix_contact_channels_value_channel")
