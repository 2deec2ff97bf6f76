-- The thirteen tables of a campaign. A statement ends with a semicolon at the end of a line.

CREATE TABLE dripiq_app.email_sender_identities (
    tenant_id          text NOT NULL,
    id                 text NOT NULL,
    user_id            text NOT NULL,
    from_email         text NOT NULL,
    from_name          text NOT NULL,
    domain             text NOT NULL,
    reply_to           text,
    sendgrid_sender_id text,
    validation_status  text NOT NULL DEFAULT 'pending',
    last_validated_at  timestamptz,
    dedicated_ip_pool  text,
    is_default         boolean NOT NULL DEFAULT false,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_email_sender_identities PRIMARY KEY (tenant_id, id),
    CONSTRAINT tenant_email_unique UNIQUE (tenant_id, from_email),
    CONSTRAINT fk_email_sender_identities_tenant_id
        FOREIGN KEY (tenant_id) REFERENCES dripiq_app.tenants (id) ON DELETE CASCADE,
    CONSTRAINT fk_email_sender_identities_user_id
        FOREIGN KEY (user_id) REFERENCES dripiq_app.users (id) ON DELETE CASCADE,
    CONSTRAINT ck_email_sender_identities_validation_status
        CHECK (validation_status IN ('pending', 'verified', 'failed')),
    CONSTRAINT ck_email_sender_identities_from_email_lower CHECK (from_email = lower(from_email)),
    CONSTRAINT ck_email_sender_identities_domain_lower CHECK (domain = lower(domain)),
    CONSTRAINT ck_email_sender_identities_reply_to_lower CHECK (reply_to = lower(reply_to))
);
CREATE INDEX ix_email_sender_identities_user_id ON dripiq_app.email_sender_identities (user_id);
CREATE UNIQUE INDEX uq_email_sender_identities_default
    ON dripiq_app.email_sender_identities (tenant_id, user_id) WHERE is_default;

CREATE TABLE dripiq_app.contact_campaigns (
    tenant_id          text NOT NULL,
    id                 text NOT NULL,
    lead_id            text NOT NULL,
    contact_id         text NOT NULL,
    channel            text NOT NULL,
    status             text NOT NULL DEFAULT 'draft',
    current_node_id    text,
    visit              integer NOT NULL DEFAULT 0,
    visits             jsonb NOT NULL DEFAULT '{}',
    node_entered_at    timestamptz,
    transition_seq     integer NOT NULL DEFAULT 0,
    plan_json          jsonb NOT NULL,
    plan_version       text NOT NULL DEFAULT '1.0',
    plan_hash          text NOT NULL,
    sender_identity_id text,
    started_at         timestamptz,
    completed_at       timestamptz,
    last_error         text,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_contact_campaigns PRIMARY KEY (tenant_id, id),
    CONSTRAINT contact_channel_unique UNIQUE (tenant_id, contact_id, channel),
    CONSTRAINT fk_contact_campaigns_tenant_id_sender_identity_id
        FOREIGN KEY (tenant_id, sender_identity_id)
        REFERENCES dripiq_app.email_sender_identities (tenant_id, id) ON DELETE SET NULL (sender_identity_id),
    CONSTRAINT fk_contact_campaigns_tenant_id
        FOREIGN KEY (tenant_id) REFERENCES dripiq_app.tenants (id) ON DELETE CASCADE,
    CONSTRAINT fk_contact_campaigns_lead_id
        FOREIGN KEY (lead_id) REFERENCES dripiq_app.leads (id) ON DELETE CASCADE,
    CONSTRAINT fk_contact_campaigns_contact_id
        FOREIGN KEY (contact_id) REFERENCES dripiq_app.lead_point_of_contacts (id) ON DELETE CASCADE,
    CONSTRAINT ck_contact_campaigns_channel CHECK (channel IN ('email', 'sms')),
    CONSTRAINT ck_contact_campaigns_status
        CHECK (status IN ('draft', 'active', 'paused', 'completed', 'stopped', 'error'))
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
CREATE INDEX contact_campaigns_status_idx ON dripiq_app.contact_campaigns (tenant_id, status);
CREATE INDEX ix_contact_campaigns_contact_id ON dripiq_app.contact_campaigns (contact_id);
CREATE INDEX ix_contact_campaigns_lead_id ON dripiq_app.contact_campaigns (lead_id);
CREATE INDEX ix_contact_campaigns_tenant_id_sender_identity_id
    ON dripiq_app.contact_campaigns (tenant_id, sender_identity_id);

CREATE TABLE dripiq_app.campaign_plan_versions (
    tenant_id           text NOT NULL,
    id                  text NOT NULL,
    contact_campaign_id text NOT NULL,
    version             text NOT NULL,
    plan_json           jsonb NOT NULL,
    plan_hash           text NOT NULL,
    generated_by        text NOT NULL,
    created_by          text,
    notes               text,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_campaign_plan_versions PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_campaign_plan_versions_tenant_id_contact_campaign_id_version
        UNIQUE (tenant_id, contact_campaign_id, version),
    CONSTRAINT fk_campaign_plan_versions_tenant_id_contact_campaign_id
        FOREIGN KEY (tenant_id, contact_campaign_id)
        REFERENCES dripiq_app.contact_campaigns (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_campaign_plan_versions_tenant_id
        FOREIGN KEY (tenant_id) REFERENCES dripiq_app.tenants (id) ON DELETE CASCADE,
    CONSTRAINT fk_campaign_plan_versions_created_by
        FOREIGN KEY (created_by) REFERENCES dripiq_app.users (id) ON DELETE SET NULL (created_by),
    CONSTRAINT ck_campaign_plan_versions_generated_by
        CHECK (generated_by IN ('ai', 'manual', 'import', 'migration'))
);
CREATE INDEX ix_campaign_plan_versions_created_by ON dripiq_app.campaign_plan_versions (created_by);

CREATE TABLE dripiq_app.scheduled_actions (
    tenant_id           text NOT NULL,
    id                  text NOT NULL,
    contact_campaign_id text NOT NULL,
    node_id             text NOT NULL,
    visit               integer NOT NULL,
    action_type         text NOT NULL,
    run_at              timestamptz NOT NULL,
    status              text NOT NULL DEFAULT 'pending',
    job_id              text,
    lease_until         timestamptz,
    attempts            integer NOT NULL DEFAULT 0,
    dedupe_key          text NOT NULL,
    reason              text,
    last_error          text,
    payload             jsonb,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_scheduled_actions PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_scheduled_actions_tenant_id_dedupe_key UNIQUE (tenant_id, dedupe_key),
    CONSTRAINT fk_scheduled_actions_tenant_id_contact_campaign_id
        FOREIGN KEY (tenant_id, contact_campaign_id)
        REFERENCES dripiq_app.contact_campaigns (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_scheduled_actions_tenant_id
        FOREIGN KEY (tenant_id) REFERENCES dripiq_app.tenants (id) ON DELETE CASCADE,
    CONSTRAINT ck_scheduled_actions_action_type CHECK (action_type IN ('send', 'timeout', 'wait', 'cancel')),
    CONSTRAINT ck_scheduled_actions_status
        CHECK (status IN ('pending', 'queued', 'held', 'completed', 'canceled', 'error')),
    CONSTRAINT ck_scheduled_actions_lease
        CHECK ((status = 'queued') = (job_id IS NOT NULL) AND (status = 'queued') = (lease_until IS NOT NULL))
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.02);
CREATE INDEX idx_scheduled_actions_ready ON dripiq_app.scheduled_actions (status, run_at) WHERE status = 'pending';
CREATE INDEX ix_scheduled_actions_lease_until ON dripiq_app.scheduled_actions (lease_until) WHERE status = 'queued';
CREATE INDEX ix_scheduled_actions_tenant_id_contact_campaign_id
    ON dripiq_app.scheduled_actions (tenant_id, contact_campaign_id);
CREATE INDEX ix_scheduled_actions_tenant_id_run_at
    ON dripiq_app.scheduled_actions (tenant_id, run_at) WHERE status = 'pending';

CREATE TABLE dripiq_app.outbound_messages (
    tenant_id           text NOT NULL,
    id                  text NOT NULL,
    contact_campaign_id text NOT NULL,
    contact_id          text NOT NULL,
    node_id             text NOT NULL,
    visit               integer NOT NULL,
    channel             text NOT NULL,
    sender_identity_id  text,
    to_address          text NOT NULL,
    subject             text,
    body                text NOT NULL,
    rendered_body       text,
    provider            text NOT NULL,
    provider_message_id text,
    smtp_id             text,
    status              text NOT NULL DEFAULT 'queued',
    error_code          text,
    last_error          text,
    attempts            integer NOT NULL DEFAULT 0,
    scheduled_at        timestamptz,
    sent_at             timestamptz,
    dedupe_key          text NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_outbound_messages PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_outbound_messages_tenant_id_dedupe_key UNIQUE (tenant_id, dedupe_key),
    CONSTRAINT fk_outbound_messages_tenant_id_contact_campaign_id
        FOREIGN KEY (tenant_id, contact_campaign_id)
        REFERENCES dripiq_app.contact_campaigns (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_outbound_messages_tenant_id_sender_identity_id
        FOREIGN KEY (tenant_id, sender_identity_id)
        REFERENCES dripiq_app.email_sender_identities (tenant_id, id) ON DELETE SET NULL (sender_identity_id),
    CONSTRAINT fk_outbound_messages_tenant_id
        FOREIGN KEY (tenant_id) REFERENCES dripiq_app.tenants (id) ON DELETE CASCADE,
    CONSTRAINT fk_outbound_messages_contact_id
        FOREIGN KEY (contact_id) REFERENCES dripiq_app.lead_point_of_contacts (id) ON DELETE CASCADE,
    CONSTRAINT ck_outbound_messages_channel CHECK (channel IN ('email', 'sms')),
    CONSTRAINT ck_outbound_messages_status CHECK (
        status IN ('queued', 'sending', 'in_doubt', 'skipped', 'sent', 'deferred', 'failed',
            'blocked', 'delivered', 'bounced')
    ),
    CONSTRAINT ck_outbound_messages_to_address_lower CHECK (to_address = lower(to_address))
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
CREATE INDEX idx_outbound_messages_provider_lookup ON dripiq_app.outbound_messages (provider, provider_message_id);
CREATE INDEX ix_outbound_messages_contact_id ON dripiq_app.outbound_messages (contact_id);
CREATE INDEX ix_outbound_messages_tenant_id_contact_campaign_id
    ON dripiq_app.outbound_messages (tenant_id, contact_campaign_id);
CREATE INDEX ix_outbound_messages_tenant_id_created_at ON dripiq_app.outbound_messages (tenant_id, created_at);
CREATE INDEX ix_outbound_messages_tenant_id_sender_identity_id
    ON dripiq_app.outbound_messages (tenant_id, sender_identity_id);

CREATE TABLE dripiq_app.message_events (
    tenant_id           text NOT NULL,
    id                  text NOT NULL,
    outbound_message_id text,
    contact_campaign_id text,
    provider            text NOT NULL,
    event_type          text NOT NULL,
    event_at            timestamptz NOT NULL,
    url                 text,
    ip                  text,
    user_agent          text,
    provider_event_id   text NOT NULL,
    payload             jsonb,
    confidence          text NOT NULL DEFAULT 'unknown',
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_message_events PRIMARY KEY (tenant_id, id, event_at),
    CONSTRAINT uq_message_events_tenant_id_provider_provider_event_id_event_at
        UNIQUE (tenant_id, provider, provider_event_id, event_at),
    CONSTRAINT fk_message_events_tenant_id_outbound_message_id
        FOREIGN KEY (tenant_id, outbound_message_id)
        REFERENCES dripiq_app.outbound_messages (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_message_events_tenant_id
        FOREIGN KEY (tenant_id) REFERENCES dripiq_app.tenants (id) ON DELETE CASCADE,
    CONSTRAINT ck_message_events_event_type CHECK (
        event_type IN ('processed', 'delivered', 'deferred', 'opened', 'clicked', 'bounced',
            'blocked', 'dropped', 'spamreport', 'unsubscribed', 'resubscribed', 'replied',
            'no_open', 'no_click', 'no_reply')
    ),
    CONSTRAINT ck_message_events_confidence CHECK (confidence IN ('human', 'machine', 'unknown'))
) PARTITION BY RANGE (event_at);
CREATE INDEX idx_message_events_tenant_event_time ON dripiq_app.message_events (tenant_id, event_at DESC);
CREATE INDEX ix_message_events_tenant_id_event_type_event_at
    ON dripiq_app.message_events (tenant_id, event_type, event_at);
CREATE INDEX ix_message_events_tenant_id_outbound_message_id_event_at
    ON dripiq_app.message_events (tenant_id, outbound_message_id, event_at);

-- Whatever belongs to no month that was made ahead is stored here, and moves out when its month is made.
CREATE TABLE dripiq_app.message_events_default PARTITION OF dripiq_app.message_events DEFAULT;

CREATE TABLE dripiq_app.webhook_deliveries (
    tenant_id       text NOT NULL,
    id              text NOT NULL,
    provider        text NOT NULL,
    received_at     timestamptz NOT NULL,
    signature_valid boolean NOT NULL,
    raw             bytea NOT NULL,
    payload         jsonb,
    payload_hash    text NOT NULL,
    status          text NOT NULL DEFAULT 'received',
    processed_at    timestamptz,
    error           text,
    attempts        integer NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_webhook_deliveries PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_webhook_deliveries_tenant_id_provider_payload_hash
        UNIQUE (tenant_id, provider, payload_hash),
    CONSTRAINT fk_webhook_deliveries_tenant_id
        FOREIGN KEY (tenant_id) REFERENCES dripiq_app.tenants (id) ON DELETE CASCADE,
    CONSTRAINT ck_webhook_deliveries_status CHECK (status IN ('received', 'processed', 'failed'))
);
CREATE INDEX ix_webhook_deliveries_received_at
    ON dripiq_app.webhook_deliveries (received_at) WHERE status = 'received';
CREATE INDEX ix_webhook_deliveries_tenant_id_received_at
    ON dripiq_app.webhook_deliveries (tenant_id, received_at) WHERE status = 'received';

CREATE TABLE dripiq_app.inbound_messages (
    tenant_id           text NOT NULL,
    id                  text NOT NULL,
    contact_campaign_id text,
    contact_id          text,
    channel             text NOT NULL,
    to_address          text NOT NULL,
    from_address        text NOT NULL,
    subject             text,
    text                text,
    html                text,
    attachments         jsonb,
    headers             jsonb,
    in_reply_to         text,
    classification      text NOT NULL DEFAULT 'unknown',
    provider_message_id text NOT NULL,
    received_at         timestamptz NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_inbound_messages PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_inbound_messages_tenant_id_channel_provider_message_id
        UNIQUE (tenant_id, channel, provider_message_id),
    CONSTRAINT fk_inbound_messages_tenant_id_contact_campaign_id
        FOREIGN KEY (tenant_id, contact_campaign_id)
        REFERENCES dripiq_app.contact_campaigns (tenant_id, id) ON DELETE SET NULL (contact_campaign_id),
    CONSTRAINT fk_inbound_messages_tenant_id
        FOREIGN KEY (tenant_id) REFERENCES dripiq_app.tenants (id) ON DELETE CASCADE,
    CONSTRAINT fk_inbound_messages_contact_id
        FOREIGN KEY (contact_id)
        REFERENCES dripiq_app.lead_point_of_contacts (id) ON DELETE SET NULL (contact_id),
    CONSTRAINT ck_inbound_messages_channel CHECK (channel IN ('email', 'sms')),
    CONSTRAINT ck_inbound_messages_classification
        CHECK (classification IN ('reply', 'auto_reply', 'bounce', 'complaint', 'unknown')),
    CONSTRAINT ck_inbound_messages_to_address_lower CHECK (to_address = lower(to_address)),
    CONSTRAINT ck_inbound_messages_from_address_lower CHECK (from_address = lower(from_address))
);
CREATE INDEX ix_inbound_messages_contact_id ON dripiq_app.inbound_messages (contact_id);
CREATE INDEX ix_inbound_messages_tenant_id_contact_campaign_id
    ON dripiq_app.inbound_messages (tenant_id, contact_campaign_id);
CREATE INDEX ix_inbound_messages_tenant_id_from_address_received_at
    ON dripiq_app.inbound_messages (tenant_id, from_address, received_at);

CREATE TABLE dripiq_app.communication_suppressions (
    tenant_id     text NOT NULL,
    id            text NOT NULL,
    channel       text NOT NULL,
    value         text NOT NULL,
    scope         text NOT NULL,
    type          text NOT NULL,
    source        text NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at  timestamptz NOT NULL,
    expires_at    timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_communication_suppressions PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_communication_suppressions_tenant_id_channel_value_type
        UNIQUE (tenant_id, channel, value, type),
    CONSTRAINT fk_communication_suppressions_tenant_id
        FOREIGN KEY (tenant_id) REFERENCES dripiq_app.tenants (id) ON DELETE CASCADE,
    CONSTRAINT ck_communication_suppressions_channel CHECK (channel IN ('email', 'sms')),
    CONSTRAINT ck_communication_suppressions_scope CHECK (scope IN ('address', 'domain')),
    CONSTRAINT ck_communication_suppressions_type
        CHECK (type IN ('unsubscribe', 'bounce', 'spamreport', 'blocked', 'invalid', 'manual')),
    CONSTRAINT ck_communication_suppressions_source
        CHECK (source IN ('webhook', 'link', 'manual', 'validation', 'import', 'reply')),
    CONSTRAINT ck_communication_suppressions_value_lower CHECK (value = lower(value))
);
CREATE INDEX ix_communication_suppressions_tenant_id_channel_value
    ON dripiq_app.communication_suppressions (tenant_id, channel, value);

CREATE TABLE dripiq_app.send_rate_limits (
    tenant_id      text NOT NULL,
    id             text NOT NULL,
    channel        text NOT NULL,
    scope          text NOT NULL,
    scope_value    text,
    max_per_minute integer,
    max_per_hour   integer,
    max_per_day    integer,
    ramp           jsonb,
    notes          text,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_send_rate_limits PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_send_rate_limits_tenant_id_channel_scope_scope_value
        UNIQUE NULLS NOT DISTINCT (tenant_id, channel, scope, scope_value),
    CONSTRAINT fk_send_rate_limits_tenant_id
        FOREIGN KEY (tenant_id) REFERENCES dripiq_app.tenants (id) ON DELETE CASCADE,
    CONSTRAINT ck_send_rate_limits_channel CHECK (channel IN ('email', 'sms')),
    CONSTRAINT ck_send_rate_limits_scope CHECK (scope IN ('tenant', 'sender', 'domain')),
    CONSTRAINT ck_send_rate_limits_scope_value_lower
        CHECK (scope <> 'domain' OR scope_value = lower(scope_value))
);

CREATE TABLE dripiq_app.email_validation_results (
    tenant_id     text NOT NULL,
    id            text NOT NULL,
    contact_id    text,
    email         text NOT NULL,
    result_status text NOT NULL,
    score         numeric(4, 3),
    did_you_mean  text,
    source        text NOT NULL,
    raw           jsonb,
    validated_at  timestamptz NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_email_validation_results PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_email_validation_results_tenant_id_email UNIQUE (tenant_id, email),
    CONSTRAINT fk_email_validation_results_tenant_id
        FOREIGN KEY (tenant_id) REFERENCES dripiq_app.tenants (id) ON DELETE CASCADE,
    CONSTRAINT fk_email_validation_results_contact_id
        FOREIGN KEY (contact_id) REFERENCES dripiq_app.lead_point_of_contacts (id) ON DELETE CASCADE,
    CONSTRAINT ck_email_validation_results_result_status
        CHECK (result_status IN ('valid', 'risky', 'invalid', 'unknown')),
    CONSTRAINT ck_email_validation_results_email_lower CHECK (email = lower(email))
);
CREATE INDEX ix_email_validation_results_contact_id ON dripiq_app.email_validation_results (contact_id);

CREATE TABLE dripiq_app.contact_channels (
    tenant_id         text NOT NULL,
    id                text NOT NULL,
    contact_id        text NOT NULL,
    channel           text NOT NULL,
    value             text NOT NULL,
    is_primary        boolean NOT NULL DEFAULT false,
    validation_status text,
    validated_at      timestamptz,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_contact_channels PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_contact_channels_tenant_id_contact_id_channel_value
        UNIQUE (tenant_id, contact_id, channel, value),
    CONSTRAINT fk_contact_channels_tenant_id
        FOREIGN KEY (tenant_id) REFERENCES dripiq_app.tenants (id) ON DELETE CASCADE,
    CONSTRAINT fk_contact_channels_contact_id
        FOREIGN KEY (contact_id) REFERENCES dripiq_app.lead_point_of_contacts (id) ON DELETE CASCADE,
    CONSTRAINT ck_contact_channels_channel CHECK (channel IN ('email', 'sms')),
    CONSTRAINT ck_contact_channels_validation_status
        CHECK (validation_status IN ('pending', 'verified', 'failed')),
    CONSTRAINT ck_contact_channels_value_lower CHECK (value = lower(value))
);
CREATE INDEX ix_contact_channels_contact_id ON dripiq_app.contact_channels (contact_id);
CREATE UNIQUE INDEX uq_contact_channels_primary
    ON dripiq_app.contact_channels (tenant_id, contact_id, channel) WHERE is_primary;

CREATE TABLE dripiq_app.campaign_transitions (
    tenant_id           text NOT NULL,
    id                  text NOT NULL,
    contact_campaign_id text NOT NULL,
    seq                 integer NOT NULL,
    from_node_id        text,
    to_node_id          text,
    from_status         text,
    to_status           text NOT NULL,
    trigger             text NOT NULL,
    reason              text,
    event_ref           text,
    actor               text,
    at                  timestamptz NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_campaign_transitions PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_campaign_transitions_tenant_id_contact_campaign_id_seq
        UNIQUE (tenant_id, contact_campaign_id, seq),
    CONSTRAINT fk_campaign_transitions_tenant_id_contact_campaign_id
        FOREIGN KEY (tenant_id, contact_campaign_id)
        REFERENCES dripiq_app.contact_campaigns (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_campaign_transitions_tenant_id
        FOREIGN KEY (tenant_id) REFERENCES dripiq_app.tenants (id) ON DELETE CASCADE,
    CONSTRAINT ck_campaign_transitions_from_status
        CHECK (from_status IN ('draft', 'active', 'paused', 'completed', 'stopped', 'error')),
    CONSTRAINT ck_campaign_transitions_to_status
        CHECK (to_status IN ('draft', 'active', 'paused', 'completed', 'stopped', 'error'))
);
CREATE INDEX ix_campaign_transitions_tenant_id_contact_campaign_id_at
    ON dripiq_app.campaign_transitions (tenant_id, contact_campaign_id, at);
