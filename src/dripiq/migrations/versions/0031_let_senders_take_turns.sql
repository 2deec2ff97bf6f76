-- How often a sender has its turn (null: 1), whether it is paused and why, and since when its rates count; how a campaign came by its sender.

ALTER TABLE dripiq_app.email_sender_identities
    ADD COLUMN rotation_weight integer,
    ADD COLUMN paused_at timestamptz,
    ADD COLUMN pause_reason text,
    ADD COLUMN pause_note text,
    ADD COLUMN rates_since timestamptz;

ALTER TABLE dripiq_app.email_sender_identities
    ADD CONSTRAINT ck_email_sender_identities_rotation_weight CHECK (rotation_weight BETWEEN 0 AND 1000) NOT VALID,
    ADD CONSTRAINT ck_email_sender_identities_pause_reason CHECK (pause_reason IN ('manual', 'bounce_rate', 'complaint_rate')) NOT VALID,
    ADD CONSTRAINT ck_email_sender_identities_paused_for_a_reason CHECK (paused_at IS NULL OR pause_reason IS NOT NULL) NOT VALID;

ALTER TABLE dripiq_app.email_sender_identities
    VALIDATE CONSTRAINT ck_email_sender_identities_rotation_weight,
    VALIDATE CONSTRAINT ck_email_sender_identities_pause_reason,
    VALIDATE CONSTRAINT ck_email_sender_identities_paused_for_a_reason;

ALTER TABLE dripiq_app.contact_campaigns ADD COLUMN sender_choice text;

ALTER TABLE dripiq_app.contact_campaigns
    ADD CONSTRAINT ck_contact_campaigns_sender_choice CHECK (sender_choice IN ('named', 'kept', 'turn')) NOT VALID;

ALTER TABLE dripiq_app.contact_campaigns VALIDATE CONSTRAINT ck_contact_campaigns_sender_choice;
