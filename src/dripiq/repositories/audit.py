"""What does the database say has happened, all of it?

Plain reads for a judge who compares it with what others saw; for demos and proofs, whole tables of the named tenants. Read all of it in one REPEATABLE
READ transaction.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

READ_CAMPAIGNS = text(
    """
    SELECT campaign.tenant_id, campaign.id, contact.email AS address, campaign.status, campaign.current_node_id, campaign.transition_seq,
        campaign.plan_hash, action.type AS action_type, action.status AS action_status, action.reason AS action_reason, action.run_at
    FROM dripiq_app.contact_campaigns AS campaign
    LEFT JOIN dripiq_app.lead_point_of_contacts AS contact ON contact.id = campaign.contact_id
    LEFT JOIN LATERAL (
        SELECT action_type AS type, status, reason, run_at FROM dripiq_app.scheduled_actions
        WHERE tenant_id = campaign.tenant_id AND contact_campaign_id = campaign.id AND status IN ('pending', 'queued', 'held')
        ORDER BY status = 'held', run_at LIMIT 1
    ) AS action ON true
    WHERE campaign.tenant_id = ANY (CAST(:tenant_ids AS text[]))
    ORDER BY campaign.tenant_id, campaign.id
    """
)

READ_MESSAGES = text(
    """
    SELECT tenant_id, id, contact_campaign_id AS campaign_id, node_id, visit, to_address, status, dedupe_key, created_at, sent_at
    FROM dripiq_app.outbound_messages
    WHERE tenant_id = ANY (CAST(:tenant_ids AS text[]))
    ORDER BY tenant_id, id
    """
)

READ_EVENTS = text(
    """
    SELECT tenant_id, outbound_message_id AS message_id, event_type AS type, event_at AS at, url, provider_event_id, confidence
    FROM dripiq_app.message_events
    WHERE tenant_id = ANY (CAST(:tenant_ids AS text[]))
    ORDER BY tenant_id, event_at, id
    """
)

READ_MOVES = text(
    """
    SELECT tenant_id, contact_campaign_id AS campaign_id, seq, from_node_id, to_node_id, from_status, to_status, trigger, reason, at
    FROM dripiq_app.campaign_transitions
    WHERE tenant_id = ANY (CAST(:tenant_ids AS text[]))
    ORDER BY tenant_id, contact_campaign_id, seq
    """
)

READ_SUPPRESSIONS = text(
    """
    SELECT tenant_id, value, scope, type,
        coalesce(CASE WHEN :by_server AND current_setting('track_commit_timestamp') = 'on' THEN pg_xact_commit_timestamp(xmin) END, updated_at)
            AS committed_at
    FROM dripiq_app.communication_suppressions
    WHERE tenant_id = ANY (CAST(:tenant_ids AS text[])) AND channel = 'email'
    ORDER BY tenant_id, value
    """
)
"""`updated_at` is the engine's time in the transaction that wrote the row, a little before its commit: the next best where the server keeps no commit times."""

COUNT_UNREAD = text(
    "SELECT count(*) FROM dripiq_app.webhook_deliveries WHERE tenant_id = ANY (CAST(:tenant_ids AS text[])) AND status = 'received'"
)

READ_STANDING = text(
    """
    SELECT tenant.id AS tenant_id, campaigns.*, messages.*, events.*
    FROM unnest(CAST(:tenant_ids AS text[])) AS tenant (id)
    CROSS JOIN LATERAL (
        SELECT count(*) AS contacts, count(*) FILTER (WHERE status IN ('completed', 'stopped', 'error')) AS final,
            count(*) FILTER (WHERE (
                SELECT bool_and(action.status = 'held' OR (action.status = 'pending' AND action.run_at > :horizon))
                FROM dripiq_app.scheduled_actions AS action
                WHERE action.tenant_id = tenant.id AND action.contact_campaign_id = campaign.id AND action.status IN ('pending', 'queued', 'held')
            )) AS waiting
        FROM dripiq_app.contact_campaigns AS campaign WHERE campaign.tenant_id = tenant.id
    ) AS campaigns
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE sent_at IS NOT NULL) AS sent FROM dripiq_app.outbound_messages WHERE tenant_id = tenant.id
    ) AS messages
    CROSS JOIN LATERAL (
        SELECT count(DISTINCT outbound_message_id) FILTER (WHERE event_type = 'delivered') AS delivered,
            count(DISTINCT outbound_message_id) FILTER (WHERE event_type = 'opened') AS opened,
            count(DISTINCT outbound_message_id) FILTER (WHERE event_type = 'clicked') AS clicked,
            count(DISTINCT outbound_message_id) FILTER (WHERE event_type = 'bounced') AS bounced
        FROM dripiq_app.message_events WHERE tenant_id = tenant.id
    ) AS events
    """
)


class CampaignRow(NamedTuple):
    """A campaign, with the first of its open actions (one that waits for time before one that is held); None where it has none."""

    tenant_id: str
    id: str
    address: str | None
    status: str
    current_node_id: str | None
    transition_seq: int
    plan_hash: str
    action_type: str | None
    action_status: str | None
    action_reason: str | None
    run_at: datetime | None


class MessageRow(NamedTuple):
    """A message; `created_at` is when it was prepared."""

    tenant_id: str
    id: str
    campaign_id: str
    node_id: str
    visit: int
    to_address: str
    status: str
    dedupe_key: str
    created_at: datetime
    sent_at: datetime | None


class EventRow(NamedTuple):
    """An event of a message."""

    tenant_id: str
    message_id: str | None
    type: str
    at: datetime
    url: str | None
    provider_event_id: str
    confidence: str


class MoveRow(NamedTuple):
    """A transition of a campaign."""

    tenant_id: str
    campaign_id: str
    seq: int
    from_node_id: str | None
    to_node_id: str | None
    from_status: str | None
    to_status: str
    trigger: str
    reason: str | None
    at: datetime


class SuppressionRow(NamedTuple):
    """An address or domain that is suppressed for e-mail, and when that was committed."""

    tenant_id: str
    value: str
    scope: str
    type: str
    committed_at: datetime


class StandingRow(NamedTuple):
    """How far a tenant's contacts are; `waiting` are those that nothing will happen to before the horizon."""

    tenant_id: str
    contacts: int
    final: int
    waiting: int
    sent: int
    delivered: int
    opened: int
    clicked: int
    bounced: int


@dataclass(frozen=True, slots=True)
class Record:
    """All that the database says of some tenants' campaigns."""

    campaigns: Sequence[CampaignRow]
    messages: Sequence[MessageRow]
    events: Sequence[EventRow]
    moves: Sequence[MoveRow]
    suppressions: Sequence[SuppressionRow]


def read_record(connection: Connection, tenant_ids: Iterable[str], *, virtual: bool = False) -> Record:
    """Read all of it; the caller's transaction is REPEATABLE READ, so that it fits together.

    Args:
        virtual: the engine's time was not the server's, so commits are told by the engine's too.
    """
    tenants = {"tenant_ids": sorted(tenant_ids)}
    return Record(
        campaigns=[CampaignRow(*row) for row in connection.execute(READ_CAMPAIGNS, tenants)],
        messages=[MessageRow(*row) for row in connection.execute(READ_MESSAGES, tenants)],
        events=[EventRow(*row) for row in connection.execute(READ_EVENTS, tenants)],
        moves=[MoveRow(*row) for row in connection.execute(READ_MOVES, tenants)],
        suppressions=[
            SuppressionRow(*row) for row in connection.execute(READ_SUPPRESSIONS, {**tenants, "by_server": not virtual})
        ],
    )


def read_standing(connection: Connection, tenant_ids: Iterable[str], horizon: datetime) -> list[StandingRow]:
    """How far each tenant's contacts are, in the order of their ids."""
    rows = connection.execute(READ_STANDING, {"tenant_ids": sorted(tenant_ids), "horizon": horizon})
    return [StandingRow(*row) for row in rows]


def count_unread(connection: Connection, tenant_ids: Iterable[str]) -> int:
    """How many archived deliveries no worker has read yet."""
    return int(connection.execute(COUNT_UNREAD, {"tenant_ids": sorted(tenant_ids)}).scalar_one())
