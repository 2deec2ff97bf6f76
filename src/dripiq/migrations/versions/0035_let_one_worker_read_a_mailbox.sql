-- A mailbox is read by one worker at a time, when it is due; one that fails is tried ever more rarely, and says why.

ALTER TABLE dripiq_app.sender_accounts
    ADD COLUMN imap_due_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN imap_read_at timestamptz,
    ADD COLUMN imap_failures bigint NOT NULL DEFAULT 0,
    ADD COLUMN imap_error text;
