"""Let the database keep tenants apart: row-level security, a role for the engine and one for whatever is done for one tenant."""

from dripiq.migrations.scripts import run, statements_of

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

# Roles stay, and whose members are whose: other databases of the cluster use them.
TAKE_DOWN = (
    """
    DO $$
    DECLARE
        kept record;
    BEGIN
        FOR kept IN SELECT tablename AS name, policyname AS policy FROM pg_policies
            WHERE schemaname = 'dripiq_app' AND policyname IN ('engine_rows', 'tenant_rows', 'tenant_people') LOOP
            EXECUTE format('DROP POLICY %I ON dripiq_app.%I', kept.policy, kept.name);
        END LOOP;
        FOR kept IN SELECT relname AS name FROM pg_class
            WHERE relnamespace = 'dripiq_app'::regnamespace AND relrowsecurity AND (
                oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'dripiq_app.message_events'::regclass)
                OR relname IN (
                    'email_sender_identities', 'contact_campaigns', 'campaign_plan_versions', 'scheduled_actions', 'outbound_messages',
                    'message_events', 'webhook_deliveries', 'inbound_messages', 'communication_suppressions', 'send_rate_limits',
                    'email_validation_results', 'contact_channels', 'campaign_transitions', 'tenant_settings', 'webhook_quarantine'
                )
            ) LOOP
            EXECUTE format('ALTER TABLE dripiq_app.%I DISABLE ROW LEVEL SECURITY', kept.name);
        END LOOP;
    END
    $$
    """,
    "DROP VIEW dripiq_app.tenant_contacts, dripiq_app.tenant_leads",
    """
    DO $$
    DECLARE
        given record;
    BEGIN
        FOR given IN SELECT DISTINCT relname AS name, member.rolname AS role
            FROM pg_class, aclexplode(relacl) AS entry, pg_roles AS member
            WHERE relnamespace = 'dripiq_app'::regnamespace AND member.oid = entry.grantee
                AND member.rolname IN ('dripiq_engine', 'dripiq_tenant')
                AND (relname NOT IN ('tenants', 'users', 'leads', 'lead_point_of_contacts')
                    OR relname IN (SELECT table_name FROM dripiq_app.dripiq_host_tables)) LOOP
            EXECUTE format('REVOKE ALL ON dripiq_app.%I FROM %I', given.name, given.role);
        END LOOP;
        FOR given IN SELECT rolname AS role FROM pg_roles WHERE rolname IN ('dripiq_engine', 'dripiq_tenant') LOOP
            EXECUTE format('REVOKE USAGE ON SCHEMA dripiq_app FROM %I', given.role);
        END LOOP;
    END
    $$
    """,
)


def upgrade() -> None:
    run(statements_of(__file__))


def downgrade() -> None:
    run(TAKE_DOWN)
