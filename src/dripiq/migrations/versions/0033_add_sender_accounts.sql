-- A sender's own account: over which server its mail leaves, and where its replies come in. Passwords are named, never stored.

CREATE TABLE dripiq_app.sender_accounts (
    tenant_id          text NOT NULL,
    id                 text NOT NULL,
    sender_identity_id text NOT NULL,
    smtp_host          text NOT NULL,
    smtp_port          bigint NOT NULL,
    smtp_security      text NOT NULL,
    smtp_username      text,
    smtp_secret        text,
    imap_host          text,
    imap_port          bigint,
    imap_security      text,
    imap_username      text,
    imap_secret        text,
    imap_folder        text,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_sender_accounts PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_sender_accounts_tenant_id_sender_identity_id UNIQUE (tenant_id, sender_identity_id),
    CONSTRAINT fk_sender_accounts_tenant_id
        FOREIGN KEY (tenant_id) REFERENCES dripiq_app.tenants (id) ON DELETE CASCADE,
    CONSTRAINT fk_sender_accounts_tenant_id_sender_identity_id
        FOREIGN KEY (tenant_id, sender_identity_id) REFERENCES dripiq_app.email_sender_identities (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT ck_sender_accounts_smtp_security CHECK (smtp_security IN ('starttls', 'tls', 'none')),
    CONSTRAINT ck_sender_accounts_imap_security CHECK (imap_security IN ('starttls', 'tls', 'none')),
    CONSTRAINT ck_sender_accounts_smtp_secret_named CHECK (smtp_secret ~ '^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$'),
    CONSTRAINT ck_sender_accounts_imap_secret_named CHECK (imap_secret ~ '^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$'),
    CONSTRAINT ck_sender_accounts_smtp_login CHECK ((smtp_username IS NULL) = (smtp_secret IS NULL)),
    CONSTRAINT ck_sender_accounts_imap_whole CHECK (
        num_nulls(imap_host, imap_port, imap_security, imap_username, imap_secret, imap_folder) IN (0, 6)
    )
);

ALTER TABLE dripiq_app.sender_accounts ENABLE ROW LEVEL SECURITY;

DO $$
BEGIN
    IF to_regrole('dripiq_engine') IS NULL OR to_regrole('dripiq_tenant') IS NULL THEN
        RETURN;
    END IF;
    CREATE POLICY engine_rows ON dripiq_app.sender_accounts TO dripiq_engine USING (true);
    CREATE POLICY tenant_rows ON dripiq_app.sender_accounts TO dripiq_tenant USING (tenant_id = current_setting('dripiq.tenant_id', true));
    GRANT SELECT, INSERT, UPDATE, DELETE ON dripiq_app.sender_accounts TO dripiq_engine;
    GRANT SELECT ON dripiq_app.sender_accounts TO dripiq_tenant;
END
$$;
