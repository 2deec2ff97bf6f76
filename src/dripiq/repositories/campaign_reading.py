"""What do people want to know of campaigns, and which ones do they mean?"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, text

LIST_CAMPAIGNS = text(
    """
    SELECT campaign.id, campaign.status, campaign.channel, contact.name AS contact, contact.email, campaign.current_node_id AS node,
        next_action.run_at AS next_at, next_action.action_type AS next, next_action.held, campaign.started_at, campaign.completed_at
    FROM (
        SELECT * FROM dripiq_app.contact_campaigns
        WHERE tenant_id = :tenant_id AND id > :after AND (CAST(:status AS text) IS NULL OR status = :status)
        ORDER BY id
        LIMIT :limit
    ) AS campaign
    LEFT JOIN LATERAL (
        SELECT record ->> 'name' AS name, record ->> 'email' AS email FROM dripiq_app.tenant_contacts
        WHERE tenant_id = :tenant_id AND id = campaign.contact_id LIMIT 1
    ) AS contact ON true
    LEFT JOIN LATERAL (
        SELECT run_at, action_type, CASE WHEN status = 'held' THEN reason END AS held FROM dripiq_app.scheduled_actions
        WHERE tenant_id = :tenant_id AND contact_campaign_id = campaign.id AND status IN ('pending', 'queued', 'held')
        ORDER BY run_at LIMIT 1
    ) AS next_action ON true
    ORDER BY campaign.id
    """
)
"""`LIMIT 1` lets the one row of a view be looked up: a join does not reach into a view that guards rows."""

FIND_CAMPAIGNS = text(
    """
    SELECT campaign.id, campaign.tenant_id
    FROM dripiq_app.tenants AS tenant
    JOIN dripiq_app.contact_campaigns AS campaign
        ON campaign.tenant_id = tenant.id AND campaign.id = ANY (CAST(:ids AS text[]))
    WHERE CAST(:tenant_id AS text) IS NULL OR tenant.id = :tenant_id
    ORDER BY campaign.tenant_id, campaign.id
    """
)
"""Finds out whose a campaign is: one probe of the primary key per tenant, for its id alone leads no index."""

PAGE_IDS = text(
    """
    SELECT id FROM dripiq_app.contact_campaigns
    WHERE tenant_id = :tenant_id AND status = ANY (CAST(:statuses AS text[])) AND id > :after
    ORDER BY id
    LIMIT :limit
    """
)

COUNT_CAMPAIGNS = text(
    """
    SELECT count(*) FROM dripiq_app.contact_campaigns
    WHERE tenant_id = :tenant_id AND status = ANY (CAST(:statuses AS text[]))
    """
)

READ_CAMPAIGN = text(
    """
    SELECT campaign.id, campaign.tenant_id, campaign.contact_id, contact.name AS contact_name, contact.email AS contact_email,
        campaign.lead_id, lead.name AS lead_name, campaign.channel, campaign.status, campaign.current_node_id,
        campaign.visit, campaign.node_entered_at, campaign.plan_version, campaign.plan_hash, sender.from_email,
        campaign.started_at, campaign.completed_at, campaign.last_error
    FROM dripiq_app.contact_campaigns AS campaign
    LEFT JOIN LATERAL (
        SELECT record ->> 'name' AS name, record ->> 'email' AS email FROM dripiq_app.tenant_contacts
        WHERE tenant_id = :tenant_id AND id = campaign.contact_id LIMIT 1
    ) AS contact ON true
    LEFT JOIN LATERAL (
        SELECT record ->> 'name' AS name FROM dripiq_app.tenant_leads
        WHERE tenant_id = :tenant_id AND id = campaign.lead_id LIMIT 1
    ) AS lead ON true
    LEFT JOIN dripiq_app.email_sender_identities AS sender
        ON sender.tenant_id = :tenant_id AND sender.id = campaign.sender_identity_id
    WHERE campaign.tenant_id = :tenant_id AND campaign.id = :id
    """
)

READ_ACTIONS = text(
    """
    SELECT node_id AS node, visit, coalesce(payload ->> 'timer', action_type) AS action, run_at, status, reason, last_error, attempts
    FROM dripiq_app.scheduled_actions
    WHERE tenant_id = :tenant_id AND contact_campaign_id = :id AND status IN ('pending', 'queued', 'held')
    ORDER BY run_at, id
    """
)

READ_MESSAGES = text(
    """
    SELECT id, node_id AS node, visit, to_address AS "to", subject, variant, status, provider, error_code, last_error, attempts, sent_at
    FROM dripiq_app.outbound_messages
    WHERE tenant_id = :tenant_id AND contact_campaign_id = :id
    ORDER BY visit, created_at, id
    """
)

READ_EVENTS = text(
    """
    SELECT event.event_at AS at, event.event_type AS event, message.node_id AS node, event.confidence, event.url
    FROM dripiq_app.outbound_messages AS message
    JOIN dripiq_app.message_events AS event ON event.tenant_id = :tenant_id AND event.outbound_message_id = message.id
    WHERE message.tenant_id = :tenant_id AND message.contact_campaign_id = :id
    ORDER BY event.event_at, event.id
    """
)

READ_TRANSITIONS = text(
    """
    SELECT seq, at, from_node_id AS from_node, to_node_id AS to_node, from_status, to_status, "trigger", reason, actor
    FROM dripiq_app.campaign_transitions
    WHERE tenant_id = :tenant_id AND contact_campaign_id = :id
    ORDER BY seq
    """
)

FIND_CONTACTS = text(
    """
    SELECT contact.id, lower(contact.record ->> 'email') AS email
    FROM dripiq_app.tenant_contacts AS contact
    WHERE contact.tenant_id = :tenant_id AND lower(contact.record ->> 'email') = ANY (CAST(:emails AS text[]))
    ORDER BY contact.id
    """
)

Row = dict[str, Any]


def list_campaigns(connection: Connection, tenant_id: str, *, status: str | None, after: str, limit: int) -> list[Row]:
    """A page of a tenant's campaigns in the order of their ids, those beyond `after` ("" for the first page)."""
    return _rows(connection, LIST_CAMPAIGNS, tenant_id=tenant_id, status=status, after=after, limit=limit)


def find_campaigns(connection: Connection, ids: Iterable[str], tenant_id: str | None = None) -> dict[str, list[str]]:
    """The campaigns of these ids that exist, by tenant; of one tenant, where it is named."""
    found: dict[str, list[str]] = {}
    for row in connection.execute(FIND_CAMPAIGNS, {"ids": sorted(set(ids)), "tenant_id": tenant_id}):
        found.setdefault(row.tenant_id, []).append(row.id)
    return found


def count_campaigns(connection: Connection, tenant_id: str, statuses: Sequence[str]) -> int:
    """How many campaigns of a tenant have one of these statuses."""
    found: int = connection.execute(COUNT_CAMPAIGNS, {"tenant_id": tenant_id, "statuses": list(statuses)}).scalar_one()
    return found


def page_ids(connection: Connection, tenant_id: str, statuses: Sequence[str], *, after: str, limit: int) -> list[str]:
    """A page of the ids of a tenant's campaigns with one of these statuses."""
    parameters = {"tenant_id": tenant_id, "statuses": list(statuses), "after": after, "limit": limit}
    return list(connection.execute(PAGE_IDS, parameters).scalars())


def read_campaign(connection: Connection, tenant_id: str, id: str) -> Row | None:
    """One campaign: where it stands, what is still to happen, what was sent, what came back, and its path."""
    found = _rows(connection, READ_CAMPAIGN, tenant_id=tenant_id, id=id)
    if not found:
        return None
    parts = {"actions": READ_ACTIONS, "messages": READ_MESSAGES, "events": READ_EVENTS, "transitions": READ_TRANSITIONS}
    return found[0] | {name: _rows(connection, query, tenant_id=tenant_id, id=id) for name, query in parts.items()}


def find_contacts(connection: Connection, tenant_id: str, emails: Sequence[str]) -> dict[str, list[str]]:
    """The ids of the tenant's contacts with these addresses (stored form), by address."""
    found: dict[str, list[str]] = {}
    for row in connection.execute(FIND_CONTACTS, {"tenant_id": tenant_id, "emails": list(emails)}):
        found.setdefault(row.email, []).append(row.id)
    return found


def _rows(connection: Connection, query: Any, **parameters: object) -> list[Row]:
    return [dict(row) for row in connection.execute(query, parameters).mappings()]
