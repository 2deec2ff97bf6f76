-- The application's twenty-fifth migration: of leads and of contacts, a column added, one dropped, and types changed.

ALTER TABLE dripiq_app.leads ADD COLUMN region text DEFAULT 'unknown';
ALTER TABLE dripiq_app.leads DROP COLUMN fax;
ALTER TABLE dripiq_app.leads ALTER COLUMN employees TYPE bigint;
ALTER TABLE dripiq_app.leads ALTER COLUMN created_at TYPE timestamptz USING created_at AT TIME ZONE 'UTC';
ALTER TABLE dripiq_app.lead_point_of_contacts ADD COLUMN timezone text;
ALTER TABLE dripiq_app.lead_point_of_contacts DROP COLUMN pager;
ALTER TABLE dripiq_app.lead_point_of_contacts ALTER COLUMN email TYPE varchar(320);
ALTER TABLE dripiq_app.lead_point_of_contacts ALTER COLUMN name TYPE varchar(200);
ALTER TABLE dripiq_app.lead_point_of_contacts ALTER COLUMN title TYPE jsonb USING to_jsonb(title);
INSERT INTO host_history.applied (number, name) VALUES (25, 'regions');
