"""Add the thirteen tables of a campaign; `message_events` is partitioned by month from the start."""

from dripiq.migrations.scripts import drop_tables, run, statements_of

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

TABLES = (
    "email_sender_identities",
    "contact_campaigns",
    "campaign_plan_versions",
    "scheduled_actions",
    "outbound_messages",
    "message_events",
    "webhook_deliveries",
    "inbound_messages",
    "communication_suppressions",
    "send_rate_limits",
    "email_validation_results",
    "contact_channels",
    "campaign_transitions",
)


def upgrade() -> None:
    run(statements_of(__file__))


def downgrade() -> None:
    drop_tables(TABLES)
