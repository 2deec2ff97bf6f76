"""${message}."""

from dripiq.migrations.scripts import run, statements_of

revision = "${up_revision}"
down_revision = "${down_revision}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(statements_of(__file__))


def downgrade() -> None:
    run(["…"])
