-- A row or two in every campaign table, on the host rows of test_archive.py; events in a month's partition and in the default.

INSERT INTO dripiq_app.email_sender_identities (id, tenant_id, user_id, from_email, from_name, domain)
SELECT 's' || n, 't', 'u' || n, n || '@example.com', 'A', 'example.com'
FROM generate_series(1, 2) n;

INSERT INTO dripiq_app.contact_campaigns (id, tenant_id, lead_id, contact_id, channel, plan_json, plan_hash, sender_identity_id)
SELECT 'cc' || n, 't', 'l', 'c' || n, 'email', '{"a": "100%"}', 'h', 's' || n
FROM generate_series(1, 2) n;

INSERT INTO dripiq_app.campaign_plan_versions (id, tenant_id, contact_campaign_id, version, plan_json, plan_hash, generated_by, created_by)
SELECT 'v' || n, 't', 'cc' || n, '1', '{}', 'h', 'ai', 'u2'
FROM generate_series(1, 2) n;

INSERT INTO dripiq_app.scheduled_actions (id, tenant_id, contact_campaign_id, node_id, visit, action_type, run_at, dedupe_key)
SELECT 'a' || n, 't', 'cc' || n, 'n', 1, 'send', now(), 'k' || n
FROM generate_series(1, 2) n;

INSERT INTO dripiq_app.outbound_messages (id, tenant_id, contact_campaign_id, contact_id, node_id, visit, channel, to_address, body, provider, dedupe_key)
SELECT 'm' || n, 't', 'cc' || n, 'c' || n, 'n', 1, 'email', 'x@example.com', 'b', 'smtp', 'k' || n
FROM generate_series(1, 2) n;

INSERT INTO dripiq_app.message_events (id, tenant_id, outbound_message_id, provider, event_type, event_at, provider_event_id)
SELECT 'e' || n || '-' || d, 't', 'm' || n, 'smtp', 'opened', at, 'e' || n || d
FROM generate_series(1, 2) n, (VALUES (1, now()), (2, '1970-01-01'), (3, '2100-01-01')) AS time (d, at);

INSERT INTO dripiq_app.webhook_deliveries (id, tenant_id, provider, received_at, signature_valid, raw, payload_hash, status)
VALUES ('w', 't', 'smtp', now(), true, '\x00ff', 'h', 'received');

INSERT INTO dripiq_app.inbound_messages (id, tenant_id, contact_campaign_id, contact_id, channel, to_address, from_address, provider_message_id, received_at)
SELECT 'i' || n, 't', 'cc' || n, 'c' || n, 'email', 'a@example.com', 'b@example.com', 'p' || n, now()
FROM generate_series(1, 2) n;

INSERT INTO dripiq_app.communication_suppressions (id, tenant_id, channel, value, scope, type, source, first_seen_at, last_seen_at)
VALUES ('x', 't', 'email', 'a@example.com', 'address', 'manual', 'manual', now(), now());

INSERT INTO dripiq_app.send_rate_limits (id, tenant_id, channel, scope)
VALUES ('r', 't', 'email', 'tenant');

INSERT INTO dripiq_app.email_validation_results (id, tenant_id, contact_id, email, result_status, score, source, validated_at)
VALUES ('z', 't', 'c1', 'c@example.com', 'valid', 0.5, 'x', now()), ('y', 't', NULL, 'd@example.com', 'valid', 0.5, 'x', now());

INSERT INTO dripiq_app.contact_channels (id, tenant_id, contact_id, channel, value)
SELECT 'h' || n, 't', 'c' || n, 'email', 'c@example.com'
FROM generate_series(1, 2) n;

INSERT INTO dripiq_app.campaign_transitions (id, tenant_id, contact_campaign_id, seq, to_status, trigger, at)
SELECT 't' || n, 't', 'cc' || n, 1, 'active', 'start', now()
FROM generate_series(1, 2) n;

INSERT INTO dripiq_app.tenant_settings (id, tenant_id)
VALUES ('q', 't');

INSERT INTO dripiq_app.send_rate_buckets (id, tenant_id, channel, scope, scope_value, period, first_slice, taken)
VALUES ('b', 't', 'email', 'tenant', '', 'hour', 1, '[1, 2]');

INSERT INTO dripiq_app.sender_accounts (id, tenant_id, sender_identity_id, smtp_host, smtp_port, smtp_security)
SELECT 'a', tenant_id, id, 'mail.test', 587, 'starttls' FROM dripiq_app.email_sender_identities ORDER BY id LIMIT 1;

INSERT INTO dripiq_app.webhook_quarantine (id, provider, received_at, reason, raw, payload_hash)
VALUES ('u', 'smtp', now(), 'r', 'x', 'h');
