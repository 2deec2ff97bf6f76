"""One row for every table, with nothing but what must be given, and how to put it there."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from dripiq.schema import Base

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)

# One row of each table for tenant `t`, with nothing but what must be given; "$" stands for the tenant's name in ids.
ROWS: dict[str, dict[str, Any]] = {
    "tenants": {"id": "$", "name": "Acme"},
    "users": {"id": "$user", "email": "ann@example.com", "name": "Ann"},
    "leads": {"id": "$lead", "tenant_id": "$", "name": "Example"},
    "lead_point_of_contacts": {
        "id": "$contact",
        "tenant_id": "$",
        "lead_id": "$lead",
        "name": "Bob",
        "email": "bob@example.com",
    },
    "email_sender_identities": {
        "user_id": "$user",
        "from_email": "ann@example.com",
        "from_name": "Ann",
        "domain": "example.com",
    },
    "contact_campaigns": {
        "lead_id": "$lead",
        "contact_id": "$contact",
        "channel": "email",
        "plan_json": {},
        "plan_hash": "h",
        "sender_identity_id": "email_sender_identities",
    },
    "campaign_plan_versions": {
        "contact_campaign_id": "contact_campaigns",
        "version": "1.0",
        "plan_json": {},
        "plan_hash": "h",
        "generated_by": "manual",
        "created_by": "$user",
    },
    "scheduled_actions": {
        "contact_campaign_id": "contact_campaigns",
        "node_id": "n",
        "visit": 1,
        "action_type": "send",
        "run_at": NOW,
        "dedupe_key": "k",
    },
    "outbound_messages": {
        "contact_campaign_id": "contact_campaigns",
        "contact_id": "$contact",
        "node_id": "n",
        "visit": 1,
        "channel": "email",
        "sender_identity_id": "email_sender_identities",
        "to_address": "bob@example.com",
        "body": "Hello",
        "provider": "folder",
        "dedupe_key": "k",
    },
    "message_events": {
        "outbound_message_id": "outbound_messages",
        "contact_campaign_id": "contact_campaigns",
        "provider": "sendgrid",
        "event_type": "opened",
        "event_at": NOW,
        "provider_event_id": "e",
    },
    "webhook_deliveries": {
        "provider": "sendgrid",
        "received_at": NOW,
        "signature_valid": True,
        "raw": b"[]",
        "payload_hash": "h",
    },
    "inbound_messages": {
        "contact_campaign_id": "contact_campaigns",
        "contact_id": "$contact",
        "channel": "email",
        "to_address": "ann@example.com",
        "from_address": "bob@example.com",
        "provider_message_id": "m",
        "received_at": NOW,
    },
    "communication_suppressions": {
        "channel": "email",
        "value": "bob@example.com",
        "scope": "address",
        "type": "manual",
        "source": "manual",
        "first_seen_at": NOW,
        "last_seen_at": NOW,
    },
    "send_rate_limits": {"channel": "email", "scope": "domain"},
    "email_validation_results": {
        "contact_id": "$contact",
        "email": "bob@example.com",
        "result_status": "valid",
        "source": "test",
        "validated_at": NOW,
    },
    "contact_channels": {"contact_id": "$contact", "channel": "email", "value": "bob@example.com"},
    "campaign_transitions": {
        "contact_campaign_id": "contact_campaigns",
        "seq": 1,
        "to_status": "active",
        "trigger": "start",
        "at": NOW,
    },
    "tenant_settings": {},
    "sender_accounts": {
        "sender_identity_id": "email_sender_identities",
        "smtp_host": "mail.test",
        "smtp_port": 587,
        "smtp_security": "starttls",
    },
    "send_rate_buckets": {
        "channel": "email",
        "scope": "tenant",
        "scope_value": "",
        "period": "hour",
        "first_slice": 0,
        "taken": [],
    },
}
HOST_TABLES = ("tenants", "users", "leads", "lead_point_of_contacts")


def values_of(table: str, tenant: str = "t", **changes: object) -> dict[str, Any]:
    """The row of a table for a tenant; a campaign table's row has the table's name as its id."""
    values = {
        name: value.replace("$", tenant) if isinstance(value, str) else value for name, value in ROWS[table].items()
    }
    if table not in HOST_TABLES:
        values |= {"tenant_id": tenant, "id": table}
    return values | changes


def add(connection: Connection, table: str, tenant: str = "t", **changes: Any) -> None:
    connection.execute(insert(Base.metadata.tables[f"dripiq_app.{table}"]).values(values_of(table, tenant, **changes)))


def add_everything(connection: Connection, tenant: str = "t") -> None:
    for table in ROWS:
        add(connection, table, tenant)


def rows(connection: Connection, table: str) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(select(Base.metadata.tables[f"dripiq_app.{table}"])).mappings()]


def refused(connection: Connection, constraint: str, attempt: Callable[[], object]) -> None:
    with pytest.raises(IntegrityError, match=constraint), connection.begin_nested():
        attempt()
