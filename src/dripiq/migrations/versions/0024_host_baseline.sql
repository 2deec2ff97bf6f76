-- dripiq's own minimal host, a table at a time: only what the database does not have yet is made.

CREATE TABLE dripiq_app.tenants (
    id         text NOT NULL,
    name       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_tenants PRIMARY KEY (id)
);

CREATE TABLE dripiq_app.users (
    id         text NOT NULL,
    email      text NOT NULL,
    name       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_users PRIMARY KEY (id)
);

CREATE TABLE dripiq_app.leads (
    id         text NOT NULL,
    tenant_id  text NOT NULL,
    name       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_leads PRIMARY KEY (id),
    CONSTRAINT fk_leads_tenant_id FOREIGN KEY (tenant_id) REFERENCES dripiq_app.tenants (id) ON DELETE CASCADE
);
CREATE INDEX ix_leads_tenant_id ON dripiq_app.leads (tenant_id);

CREATE TABLE dripiq_app.lead_point_of_contacts (
    id           text NOT NULL,
    tenant_id    text NOT NULL,
    lead_id      text NOT NULL,
    external_ref text,
    name         text NOT NULL,
    email        text,
    timezone     text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_lead_point_of_contacts PRIMARY KEY (id),
    CONSTRAINT uq_lead_point_of_contacts_tenant_id_external_ref UNIQUE (tenant_id, external_ref),
    CONSTRAINT fk_lead_point_of_contacts_tenant_id
        FOREIGN KEY (tenant_id) REFERENCES dripiq_app.tenants (id) ON DELETE CASCADE,
    CONSTRAINT fk_lead_point_of_contacts_lead_id
        FOREIGN KEY (lead_id) REFERENCES dripiq_app.leads (id) ON DELETE CASCADE
);
CREATE INDEX ix_lead_point_of_contacts_lead_id ON dripiq_app.lead_point_of_contacts (lead_id);
CREATE INDEX ix_lead_point_of_contacts_email_tenant_id ON dripiq_app.lead_point_of_contacts (email, tenant_id);
