-- A host application's database as its own twenty-four migrations left it: people who sell, whom they sell to, and what they noted on the way.
-- Times are without a zone, contacts do not say whose they are but by their lead, and much points at leads and contacts.

CREATE SCHEMA dripiq_app;
CREATE SCHEMA host_history;

CREATE TABLE host_history.applied (number int PRIMARY KEY, name text NOT NULL, applied_at timestamp NOT NULL DEFAULT now());
INSERT INTO host_history.applied (number, name) SELECT number, 'step ' || number FROM generate_series(1, 24) AS number;

CREATE TYPE dripiq_app.lead_stage AS ENUM ('fresh', 'researched', 'contacted', 'won', 'lost');

CREATE TABLE dripiq_app.tenants (
    id text PRIMARY KEY,
    name text NOT NULL,
    website text,
    subscription text NOT NULL DEFAULT 'trial',
    settings jsonb NOT NULL DEFAULT '{}',
    created_at timestamp NOT NULL DEFAULT now(),
    updated_at timestamp NOT NULL DEFAULT now()
);

CREATE TABLE dripiq_app.users (
    id text PRIMARY KEY,
    auth_id uuid NOT NULL UNIQUE,
    email text NOT NULL UNIQUE,
    name text,
    avatar text,
    created_at timestamp NOT NULL DEFAULT now(),
    updated_at timestamp NOT NULL DEFAULT now()
);

CREATE TABLE dripiq_app.memberships (
    user_id text NOT NULL REFERENCES dripiq_app.users ON DELETE CASCADE,
    tenant_id text NOT NULL REFERENCES dripiq_app.tenants ON DELETE CASCADE,
    role text NOT NULL CHECK (role IN ('admin', 'seller', 'viewer')),
    PRIMARY KEY (user_id, tenant_id)
);

CREATE TABLE dripiq_app.products (
    id text PRIMARY KEY,
    tenant_id text NOT NULL REFERENCES dripiq_app.tenants ON DELETE CASCADE,
    title text NOT NULL
);

CREATE TABLE dripiq_app.leads (
    id text PRIMARY KEY,
    tenant_id text NOT NULL REFERENCES dripiq_app.tenants ON DELETE CASCADE,
    owner_id text REFERENCES dripiq_app.users ON DELETE SET NULL,
    pitched_product_id text REFERENCES dripiq_app.products ON DELETE SET NULL,
    name text NOT NULL,
    url text,
    email text,
    phone text,
    city text,
    country char(2),
    industry text,
    employees int CHECK (employees >= 0),
    revenue numeric(14, 2),
    stage dripiq_app.lead_stage NOT NULL DEFAULT 'fresh',
    score real,
    tags text[] NOT NULL DEFAULT '{}',
    findings jsonb,
    fax text,
    search tsvector GENERATED ALWAYS AS (to_tsvector('simple', name || ' ' || coalesce(industry, ''))) STORED,
    created_at timestamp NOT NULL DEFAULT now(),
    updated_at timestamp NOT NULL DEFAULT now(),
    CONSTRAINT one_lead_a_site UNIQUE (tenant_id, url)
);
CREATE INDEX leads_by_owner ON dripiq_app.leads (owner_id) WHERE owner_id IS NOT NULL;
CREATE INDEX leads_by_words ON dripiq_app.leads USING gin (search);

CREATE TABLE dripiq_app.lead_point_of_contacts (
    id text PRIMARY KEY,
    lead_id text NOT NULL REFERENCES dripiq_app.leads ON DELETE CASCADE,
    name text NOT NULL,
    email text,
    phone text,
    title text,
    company text,
    pager text,
    reviewed boolean NOT NULL DEFAULT false,
    created_at timestamp NOT NULL DEFAULT now(),
    updated_at timestamp NOT NULL DEFAULT now()
);
CREATE INDEX contacts_by_lead ON dripiq_app.lead_point_of_contacts (lead_id);
COMMENT ON COLUMN dripiq_app.lead_point_of_contacts.reviewed IS 'A person has looked at what was found';

-- Leads and contacts point at each other.
ALTER TABLE dripiq_app.leads ADD COLUMN first_contact_id text
    CONSTRAINT first_contact REFERENCES dripiq_app.lead_point_of_contacts ON DELETE SET NULL;

CREATE TABLE dripiq_app.lead_products (
    lead_id text NOT NULL REFERENCES dripiq_app.leads ON DELETE CASCADE,
    product_id text NOT NULL REFERENCES dripiq_app.products ON DELETE CASCADE,
    PRIMARY KEY (lead_id, product_id)
);

CREATE TABLE dripiq_app.contact_notes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    contact_id text NOT NULL REFERENCES dripiq_app.lead_point_of_contacts ON DELETE CASCADE,
    author_id text REFERENCES dripiq_app.users ON DELETE SET NULL,
    body text NOT NULL,
    written_at timestamp NOT NULL DEFAULT now()
);

CREATE FUNCTION dripiq_app.stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.updated_at := now(); RETURN NEW; END $$;
CREATE TRIGGER stamp_leads BEFORE UPDATE ON dripiq_app.leads FOR EACH ROW EXECUTE FUNCTION dripiq_app.stamp();

CREATE VIEW dripiq_app.open_leads AS SELECT id, tenant_id, name, stage FROM dripiq_app.leads WHERE stage NOT IN ('won', 'lost');

INSERT INTO dripiq_app.tenants (id, name, website, settings) VALUES
    ('north', 'Northwind Tools', 'https://north.example.com', '{"seats": 5}'),
    ('south', 'Southbank Legal', 'https://south.example.com', '{}');
INSERT INTO dripiq_app.users (id, auth_id, email, name) VALUES
    ('uma', '00000000-0000-0000-0000-000000000001', 'uma@north.example.com', 'Uma'),
    ('sid', '00000000-0000-0000-0000-000000000002', 'sid@south.example.com', NULL);
INSERT INTO dripiq_app.memberships VALUES ('uma', 'north', 'admin'), ('sid', 'south', 'seller'), ('uma', 'south', 'viewer');
INSERT INTO dripiq_app.products VALUES ('drill', 'north', 'Drills'), ('advice', 'south', 'Advice');
INSERT INTO dripiq_app.leads (id, tenant_id, owner_id, pitched_product_id, name, url, country, industry, employees, revenue, stage, tags, findings) VALUES
    ('mill', 'north', 'uma', 'drill', 'The Old Mill', 'https://mill.example.com', 'CH', 'furniture', 40, 1200000.50, 'researched', '{wood,"old & new"}', '{"site": {"pages": 12}}'),
    ('yard', 'north', NULL, NULL, 'Boat Yard', NULL, NULL, NULL, NULL, NULL, 'fresh', '{}', NULL),
    ('bank', 'south', 'sid', 'advice', 'Little Bank', 'https://bank.example.com', 'GB', 'finance', 9, NULL, 'contacted', '{}', NULL);
INSERT INTO dripiq_app.lead_point_of_contacts (id, lead_id, name, email, phone, title, company, reviewed) VALUES
    ('mara', 'mill', 'Mara Moss', 'Mara@Mill.example.com', '+41 79 000 00 01', 'Head of "Wood"', 'The Old Mill', true),
    ('milo', 'mill', 'Milo', NULL, NULL, NULL, NULL, false),
    ('yann', 'yard', 'Yann Yar', 'yann@yard.example.com', NULL, 'Captain', 'Boat Yard', false),
    ('bess', 'bank', 'Bess', 'bess@bank.example.com', NULL, 'Clerk', 'Little Bank', true);
UPDATE dripiq_app.leads SET first_contact_id = 'mara' WHERE id = 'mill';
INSERT INTO dripiq_app.lead_products VALUES ('mill', 'drill'), ('bank', 'advice');
INSERT INTO dripiq_app.contact_notes (contact_id, author_id, body) VALUES ('mara', 'uma', 'Likes oak; not pine'), ('bess', 'sid', 'Call on Fridays');
