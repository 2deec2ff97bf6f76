-- What counts against limits: a bucket for each key and period, and the slot that a message has booked.

ALTER TABLE dripiq_app.outbound_messages ADD COLUMN slot jsonb;

CREATE TABLE dripiq_app.send_rate_buckets (
    tenant_id   text NOT NULL,
    id          text NOT NULL,
    channel     text NOT NULL,
    scope       text NOT NULL,
    scope_value text NOT NULL,
    period      text NOT NULL,
    first_slice bigint NOT NULL,
    taken       jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_send_rate_buckets PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_send_rate_buckets_tenant_id_channel_scope_scope_value_period UNIQUE (tenant_id, channel, scope, scope_value, period),
    CONSTRAINT fk_send_rate_buckets_tenant_id
        FOREIGN KEY (tenant_id) REFERENCES dripiq_app.tenants (id) ON DELETE CASCADE,
    CONSTRAINT ck_send_rate_buckets_channel CHECK (channel IN ('email', 'sms')),
    CONSTRAINT ck_send_rate_buckets_scope CHECK (scope IN ('tenant', 'sender', 'domain')),
    CONSTRAINT ck_send_rate_buckets_period CHECK (period IN ('minute', 'hour', 'day'))
);

ALTER TABLE dripiq_app.send_rate_buckets ENABLE ROW LEVEL SECURITY;

DO $$
BEGIN
    IF to_regrole('dripiq_engine') IS NULL OR to_regrole('dripiq_tenant') IS NULL THEN
        RETURN;
    END IF;
    CREATE POLICY engine_rows ON dripiq_app.send_rate_buckets TO dripiq_engine USING (true);
    CREATE POLICY tenant_rows ON dripiq_app.send_rate_buckets TO dripiq_tenant USING (tenant_id = current_setting('dripiq.tenant_id', true));
    GRANT SELECT, INSERT, UPDATE, DELETE ON dripiq_app.send_rate_buckets TO dripiq_engine, dripiq_tenant;
END
$$;
