-- What the engine itself remembers: a tenant's switches, and what no tenant could be found for.

CREATE TABLE dripiq_app.tenant_settings (
    tenant_id             text NOT NULL,
    id                    text NOT NULL,
    sending_paused_at     timestamptz,
    sending_paused_reason text,
    in_doubt_policy       text NOT NULL DEFAULT 'assume_sent',
    in_doubt_after        interval NOT NULL DEFAULT '24 hours',
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_tenant_settings PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_tenant_settings_tenant_id UNIQUE (tenant_id),
    CONSTRAINT fk_tenant_settings_tenant_id
        FOREIGN KEY (tenant_id) REFERENCES dripiq_app.tenants (id) ON DELETE CASCADE,
    CONSTRAINT ck_tenant_settings_in_doubt_policy CHECK (in_doubt_policy IN ('assume_sent', 'resend'))
);

CREATE TABLE dripiq_app.webhook_quarantine (
    id           text NOT NULL,
    tenant_id    text,
    provider     text NOT NULL,
    received_at  timestamptz NOT NULL,
    reason       text NOT NULL,
    raw          bytea NOT NULL,
    payload_hash text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_webhook_quarantine PRIMARY KEY (id),
    CONSTRAINT uq_webhook_quarantine_provider_payload_hash UNIQUE (provider, payload_hash),
    CONSTRAINT fk_webhook_quarantine_tenant_id
        FOREIGN KEY (tenant_id) REFERENCES dripiq_app.tenants (id) ON DELETE CASCADE
);
CREATE INDEX ix_webhook_quarantine_tenant_id ON dripiq_app.webhook_quarantine (tenant_id);
