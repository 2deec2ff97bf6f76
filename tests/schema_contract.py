"""What other programs were promised of the thirteen tables: one table of expectations, written by hand from the schema's design.

`tests/migrations/test_contract.py` reads it against the catalog, `tests/db/test_contract_kept.py` tries each line of it on rows.
"""

from collections import defaultdict

# column NAME TYPE[?] [= DEFAULT]   ("?": may be null)
# key COLUMN -> TABLE [set null]    (campaign tables: with the tenant, and cascading unless "set null")
# host COLUMN -> TABLE [set null]   (host tables: on their id)
# unique [NAME] (COLUMNS) [nulls not distinct] [where PREDICATE]
# index [NAME] (COLUMNS) [where PREDICATE]
# words COLUMN WORD…                (a CHECK with exactly these)
# lower COLUMN…                     (a CHECK that it is lower-case)
# check NAME                        (another CHECK)
CONTRACT = """
table email_sender_identities
column user_id text
column from_email text
column from_name text
column domain text
column reply_to text?
column sendgrid_sender_id text?
column validation_status text = 'pending'
column last_validated_at timestamptz?
column dedicated_ip_pool text?
column is_default boolean = false
column rotation_weight integer?
column paused_at timestamptz?
column pause_reason text?
column pause_note text?
column rates_since timestamptz?
host user_id -> users
unique tenant_email_unique (tenant_id, from_email)
unique (tenant_id, user_id) where is_default
words validation_status pending verified failed
words pause_reason manual bounce_rate complaint_rate
lower from_email domain reply_to
check rotation_weight
check paused_for_a_reason

table contact_campaigns
column lead_id text
column contact_id text
column channel text
column status text = 'draft'
column current_node_id text?
column visit integer = 0
column visits jsonb = '{}'
column node_entered_at timestamptz?
column transition_seq integer = 0
column plan_json jsonb
column plan_version text = '1.0'
column plan_hash text
column sender_identity_id text?
column sender_choice text?
column started_at timestamptz?
column completed_at timestamptz?
column last_error text?
host lead_id -> leads
host contact_id -> lead_point_of_contacts
key sender_identity_id -> email_sender_identities set null
unique contact_channel_unique (tenant_id, contact_id, channel)
index contact_campaigns_status_idx (tenant_id, status)
words channel email sms
words status draft active paused completed stopped error
words sender_choice named kept turn

table campaign_plan_versions
column contact_campaign_id text
column version text
column plan_json jsonb
column plan_hash text
column generated_by text
column created_by text?
column notes text?
key contact_campaign_id -> contact_campaigns
host created_by -> users set null
unique (tenant_id, contact_campaign_id, version)
words generated_by ai manual import migration

table scheduled_actions
column contact_campaign_id text
column node_id text
column visit integer
column action_type text
column run_at timestamptz
column status text = 'pending'
column job_id text?
column lease_until timestamptz?
column attempts integer = 0
column dedupe_key text
column reason text?
column last_error text?
column payload jsonb?
key contact_campaign_id -> contact_campaigns
unique (tenant_id, dedupe_key)
index idx_scheduled_actions_ready (status, run_at) where status = 'pending'
index (tenant_id, run_at) where status = 'pending'
index (lease_until) where status = 'queued'
index (tenant_id, contact_campaign_id)
words action_type send timeout wait cancel
words status pending queued held completed canceled error
check lease

table outbound_messages
column contact_campaign_id text
column contact_id text
column node_id text
column visit integer
column channel text
column sender_identity_id text?
column to_address text
column subject text?
column body text
column rendered_body text?
column provider text
column provider_message_id text?
column smtp_id text?
column status text = 'queued'
column error_code text?
column last_error text?
column attempts integer = 0
column scheduled_at timestamptz?
column sent_at timestamptz?
column dedupe_key text
column rendered_html text?
column variant text?
column slot jsonb?
key contact_campaign_id -> contact_campaigns
host contact_id -> lead_point_of_contacts
key sender_identity_id -> email_sender_identities set null
unique (tenant_id, dedupe_key)
index idx_outbound_messages_provider_lookup (provider, provider_message_id)
index (tenant_id, contact_campaign_id)
index (tenant_id, created_at)
words channel email sms
words status queued sending sent delivered deferred failed bounced blocked in_doubt skipped
lower to_address

table message_events
column outbound_message_id text?
column contact_campaign_id text?
column provider text
column event_type text
column event_at timestamptz
column url text?
column ip text?
column user_agent text?
column provider_event_id text
column payload jsonb?
column confidence text = 'unknown'
key outbound_message_id -> outbound_messages
unique (tenant_id, provider, provider_event_id, event_at)
index idx_message_events_tenant_event_time (tenant_id, event_at DESC)
index (tenant_id, outbound_message_id, event_at)
index (tenant_id, event_type, event_at)
words event_type processed delivered deferred opened clicked bounced blocked dropped spamreport unsubscribed resubscribed replied no_open no_click no_reply
words confidence human machine unknown

table webhook_deliveries
column provider text
column received_at timestamptz
column signature_valid boolean
column raw bytea
column payload jsonb?
column payload_hash text
column status text = 'received'
column processed_at timestamptz?
column error text?
column attempts integer = 0
unique (tenant_id, provider, payload_hash)
index (received_at) where status = 'received'
index (tenant_id, received_at) where status = 'received'
words status received processed failed

table inbound_messages
column contact_campaign_id text?
column contact_id text?
column channel text
column to_address text
column from_address text
column subject text?
column text text?
column html text?
column attachments jsonb?
column headers jsonb?
column in_reply_to text?
column classification text = 'unknown'
column provider_message_id text
column received_at timestamptz
key contact_campaign_id -> contact_campaigns set null
host contact_id -> lead_point_of_contacts set null
unique (tenant_id, channel, provider_message_id)
index (tenant_id, from_address, received_at)
words channel email sms
words classification reply auto_reply bounce complaint unknown
lower to_address from_address

table communication_suppressions
column channel text
column value text
column scope text
column type text
column source text
column first_seen_at timestamptz
column last_seen_at timestamptz
column expires_at timestamptz?
unique (tenant_id, channel, value, type)
index (tenant_id, channel, value)
words channel email sms
words scope address domain
words type unsubscribe bounce spamreport blocked invalid manual
words source webhook link manual validation import reply
lower value

table send_rate_limits
column channel text
column scope text
column scope_value text?
column max_per_minute integer?
column max_per_hour integer?
column max_per_day integer?
column ramp jsonb?
column notes text?
unique (tenant_id, channel, scope, scope_value) nulls not distinct
words channel email sms
words scope tenant sender domain
check scope_value_lower

table email_validation_results
column contact_id text?
column email text
column result_status text
column score numeric(4,3)?
column did_you_mean text?
column source text
column raw jsonb?
column validated_at timestamptz
host contact_id -> lead_point_of_contacts
unique (tenant_id, email)
words result_status valid risky invalid unknown
lower email

table contact_channels
column contact_id text
column channel text
column value text
column is_primary boolean = false
column validation_status text?
column validated_at timestamptz?
host contact_id -> lead_point_of_contacts
unique (tenant_id, contact_id, channel, value)
unique (tenant_id, contact_id, channel) where is_primary
words channel email sms
words validation_status pending verified failed
lower value

table campaign_transitions
column contact_campaign_id text
column seq integer
column from_node_id text?
column to_node_id text?
column from_status text?
column to_status text
column trigger text
column reason text?
column event_ref text?
column actor text?
column at timestamptz
key contact_campaign_id -> contact_campaigns
unique (tenant_id, contact_campaign_id, seq)
index (tenant_id, contact_campaign_id, at)
words from_status draft active paused completed stopped error
words to_status draft active paused completed stopped error
"""

EVERY_TABLE = """
column id text
column tenant_id text
column created_at timestamptz = now()
column updated_at timestamptz = now()
host tenant_id -> tenants
"""


def promised() -> dict[str, dict[str, list[str]]]:
    tables: dict[str, dict[str, list[str]]] = {}
    for block in CONTRACT.strip().split("\n\n"):
        head, *lines = block.splitlines()
        kinds: dict[str, list[str]] = defaultdict(list)
        for line in [*EVERY_TABLE.strip().splitlines(), *lines]:
            kind, _, rest = line.partition(" ")
            kinds[kind].append(rest)
        tables[head.removeprefix("table ")] = kinds
    return tables


PROMISED = promised()
