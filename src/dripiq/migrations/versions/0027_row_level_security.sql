-- The second wall between tenants: two roles, policies, and two views over the host's people.

-- Whoever holds one of these locks and wants the next takes them in this order, too.
LOCK TABLE dripiq_app.contact_campaigns, dripiq_app.scheduled_actions, dripiq_app.outbound_messages IN ACCESS EXCLUSIVE MODE;

-- Roles belong to the cluster: another of its databases may have made them, or make them at this moment. From PostgreSQL 16 on, who makes a role
-- may grant it, and has to grant it to itself before SET ROLE.
DO $$
DECLARE
    wanted text;
    can_set constant text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
    options constant text := CASE WHEN can_set = 'SET' THEN ' WITH INHERIT FALSE, SET TRUE' ELSE '' END;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['dripiq_engine', 'dripiq_tenant'] LOOP
        FOR attempt IN 1..5 LOOP
            BEGIN
                IF to_regrole(wanted) IS NULL THEN
                    EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
                END IF;
                IF NOT pg_has_role(wanted, can_set) THEN
                    EXECUTE format('GRANT %I TO CURRENT_USER', wanted) || options;
                END IF;
                EXIT;
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN
                    NULL;
                WHEN insufficient_privilege THEN
                    RAISE NOTICE 'dripiq: % may not make or take the role % (%). An administrator has to: dripiq db status shows the statements.',
                        current_user, wanted, SQLERRM;
                    EXIT;
            END;
        END LOOP;
    END LOOP;
END
$$;

ALTER TABLE dripiq_app.email_sender_identities ENABLE ROW LEVEL SECURITY;
ALTER TABLE dripiq_app.contact_campaigns ENABLE ROW LEVEL SECURITY;
ALTER TABLE dripiq_app.campaign_plan_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE dripiq_app.scheduled_actions ENABLE ROW LEVEL SECURITY;
ALTER TABLE dripiq_app.outbound_messages ENABLE ROW LEVEL SECURITY;
ALTER TABLE dripiq_app.message_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE dripiq_app.webhook_deliveries ENABLE ROW LEVEL SECURITY;
ALTER TABLE dripiq_app.inbound_messages ENABLE ROW LEVEL SECURITY;
ALTER TABLE dripiq_app.communication_suppressions ENABLE ROW LEVEL SECURITY;
ALTER TABLE dripiq_app.send_rate_limits ENABLE ROW LEVEL SECURITY;
ALTER TABLE dripiq_app.email_validation_results ENABLE ROW LEVEL SECURITY;
ALTER TABLE dripiq_app.contact_channels ENABLE ROW LEVEL SECURITY;
ALTER TABLE dripiq_app.campaign_transitions ENABLE ROW LEVEL SECURITY;
ALTER TABLE dripiq_app.tenant_settings ENABLE ROW LEVEL SECURITY;
ALTER TABLE dripiq_app.webhook_quarantine ENABLE ROW LEVEL SECURITY;

DO $$
DECLARE
    partition regclass;
BEGIN
    FOR partition IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'dripiq_app.message_events'::regclass LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', partition);
    END LOOP;
END
$$;

-- What the policies say of our tables, the views say of the host's: whom no policy binds sees all. Over a host's own table they have its keys and the
-- row as jsonb, for a view that names columns blocks the host's later migrations; over dripiq's own table they can be written.
DO $$
BEGIN
    IF EXISTS (SELECT FROM dripiq_app.dripiq_host_tables WHERE table_name = 'leads') THEN
        CREATE VIEW dripiq_app.tenant_leads WITH (security_barrier = true) AS
        SELECT lead.tenant_id, lead.id, lead.name, lead.created_at, lead.updated_at, to_jsonb(lead) AS record
        FROM dripiq_app.leads AS lead
        WHERE lead.tenant_id = current_setting('dripiq.tenant_id', true)
            OR NOT row_security_active('dripiq_app.contact_campaigns'::regclass)
            OR pg_has_role(to_regrole('dripiq_engine'), 'USAGE')
        WITH CASCADED CHECK OPTION;
    ELSE
        CREATE VIEW dripiq_app.tenant_leads WITH (security_barrier = true) AS
        SELECT lead.tenant_id, lead.id, to_jsonb(lead) AS record
        FROM dripiq_app.leads AS lead
        WHERE lead.tenant_id = current_setting('dripiq.tenant_id', true)
            OR NOT row_security_active('dripiq_app.contact_campaigns'::regclass)
            OR pg_has_role(to_regrole('dripiq_engine'), 'USAGE');
    END IF;
    IF EXISTS (SELECT FROM dripiq_app.dripiq_host_tables WHERE table_name = 'lead_point_of_contacts') THEN
        CREATE VIEW dripiq_app.tenant_contacts WITH (security_barrier = true) AS
        SELECT contact.tenant_id, contact.id, contact.lead_id, contact.external_ref, contact.name, contact.email, contact.timezone,
            contact.created_at, contact.updated_at, to_jsonb(contact) AS record
        FROM dripiq_app.lead_point_of_contacts AS contact
        WHERE (contact.tenant_id = current_setting('dripiq.tenant_id', true)
                OR NOT row_security_active('dripiq_app.contact_campaigns'::regclass)
                OR pg_has_role(to_regrole('dripiq_engine'), 'USAGE'))
            AND EXISTS (
                SELECT FROM dripiq_app.leads AS lead WHERE lead.id = contact.lead_id AND lead.tenant_id = contact.tenant_id
            )
        WITH CASCADED CHECK OPTION;
    ELSE
        CREATE VIEW dripiq_app.tenant_contacts WITH (security_barrier = true) AS
        SELECT lead.tenant_id, contact.id, contact.lead_id, to_jsonb(contact) AS record
        FROM dripiq_app.lead_point_of_contacts AS contact
        JOIN dripiq_app.leads AS lead ON lead.id = contact.lead_id
        WHERE lead.tenant_id = current_setting('dripiq.tenant_id', true)
            OR NOT row_security_active('dripiq_app.contact_campaigns'::regclass)
            OR pg_has_role(to_regrole('dripiq_engine'), 'USAGE');
    END IF;
END
$$;

-- Where the roles could not be made, everybody but the owner sees nothing; the next `dripiq db upgrade` after they were made does the rest.
DO $$
DECLARE
    kept text;
    view_of record;
    roles constant text := 'dripiq_engine, dripiq_tenant';
BEGIN
    IF to_regrole('dripiq_engine') IS NULL OR to_regrole('dripiq_tenant') IS NULL THEN
        RETURN;
    END IF;
    GRANT USAGE ON SCHEMA dripiq_app TO dripiq_engine, dripiq_tenant;
    GRANT SELECT ON dripiq_app.dripiq_alembic_version, dripiq_app.dripiq_host_tables TO dripiq_engine, dripiq_tenant;

    FOREACH kept IN ARRAY ARRAY[
        'email_sender_identities', 'contact_campaigns', 'campaign_plan_versions', 'scheduled_actions', 'outbound_messages', 'message_events',
        'webhook_deliveries', 'inbound_messages', 'communication_suppressions', 'send_rate_limits', 'email_validation_results',
        'contact_channels', 'campaign_transitions', 'tenant_settings'
    ] LOOP
        EXECUTE format('CREATE POLICY engine_rows ON dripiq_app.%I TO dripiq_engine USING (true)', kept);
        EXECUTE format(
            'CREATE POLICY tenant_rows ON dripiq_app.%I TO dripiq_tenant USING (tenant_id = current_setting(''dripiq.tenant_id'', true))', kept);
        EXECUTE format('GRANT SELECT, INSERT ON dripiq_app.%I TO ', kept) || roles;
        IF kept <> 'campaign_transitions' THEN
            EXECUTE format('GRANT UPDATE, DELETE ON dripiq_app.%I TO ', kept) || roles;
        END IF;
    END LOOP;
    CREATE POLICY engine_rows ON dripiq_app.webhook_quarantine TO dripiq_engine USING (true);
    GRANT SELECT, INSERT, UPDATE, DELETE ON dripiq_app.webhook_quarantine TO dripiq_engine;

    -- No right on any partition: who reads one directly would read around the policy of its parent.
    FOR kept IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'dripiq_app.message_events'::regclass LOOP
        EXECUTE format('CREATE POLICY engine_rows ON %s TO dripiq_engine USING (true)', kept);
        EXECUTE format(
            'CREATE POLICY tenant_rows ON %s TO dripiq_tenant USING (tenant_id = current_setting(''dripiq.tenant_id'', true))', kept);
    END LOOP;

    -- The keys to leads and contacts do not carry the tenant, and the check behind a key looks past every policy.
    CREATE POLICY tenant_people ON dripiq_app.contact_campaigns AS RESTRICTIVE TO dripiq_tenant WITH CHECK (
        EXISTS (SELECT FROM dripiq_app.tenant_leads AS person WHERE person.id = contact_campaigns.lead_id)
        AND EXISTS (SELECT FROM dripiq_app.tenant_contacts AS person WHERE person.id = contact_campaigns.contact_id));
    CREATE POLICY tenant_people ON dripiq_app.outbound_messages AS RESTRICTIVE TO dripiq_tenant WITH CHECK (
        EXISTS (SELECT FROM dripiq_app.tenant_contacts AS person WHERE person.id = outbound_messages.contact_id));
    CREATE POLICY tenant_people ON dripiq_app.inbound_messages AS RESTRICTIVE TO dripiq_tenant WITH CHECK (
        inbound_messages.contact_id IS NULL
        OR EXISTS (SELECT FROM dripiq_app.tenant_contacts AS person WHERE person.id = inbound_messages.contact_id));
    CREATE POLICY tenant_people ON dripiq_app.email_validation_results AS RESTRICTIVE TO dripiq_tenant WITH CHECK (
        email_validation_results.contact_id IS NULL
        OR EXISTS (SELECT FROM dripiq_app.tenant_contacts AS person WHERE person.id = email_validation_results.contact_id));
    CREATE POLICY tenant_people ON dripiq_app.contact_channels AS RESTRICTIVE TO dripiq_tenant WITH CHECK (
        EXISTS (SELECT FROM dripiq_app.tenant_contacts AS person WHERE person.id = contact_channels.contact_id));

    GRANT SELECT ON dripiq_app.tenant_leads, dripiq_app.tenant_contacts TO dripiq_engine, dripiq_tenant;
    FOR kept IN SELECT table_name FROM dripiq_app.dripiq_host_tables LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON dripiq_app.%I TO dripiq_engine', kept);
    END LOOP;
    FOR view_of IN SELECT * FROM (VALUES ('leads', 'tenant_leads'), ('lead_point_of_contacts', 'tenant_contacts')) AS v (host, name) LOOP
        IF EXISTS (SELECT FROM dripiq_app.dripiq_host_tables WHERE table_name = view_of.host) THEN
            EXECUTE format('GRANT INSERT, UPDATE, DELETE ON dripiq_app.%I TO ', view_of.name) || roles;
        END IF;
    END LOOP;
END
$$;
