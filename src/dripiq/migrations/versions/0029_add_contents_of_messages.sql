-- What else a message says: its HTML part, as sent, and which of its node's variants it is.

ALTER TABLE dripiq_app.outbound_messages
    ADD COLUMN rendered_html text,
    ADD COLUMN variant text;
