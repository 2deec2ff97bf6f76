"""How does a message that came in become a row, and whose is it?

What is archived of providers that bring messages (not events of our own) is read apart from these. A message meets its first copy by (channel,
provider_message_id).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

FIND_TENANTS_BY_RECIPIENT = text(
    """
    SELECT DISTINCT tenant_id FROM dripiq_app.email_sender_identities
    WHERE from_email = ANY (CAST(:addresses AS text[])) OR reply_to = ANY (CAST(:addresses AS text[]))
    ORDER BY tenant_id
    """
)
"""Finds out whose a mail is: it names an address of ours, and no tenant."""

FIND_TENANTS_BY_ANSWERED = text(
    """
    SELECT tenant.id AS tenant_id
    FROM dripiq_app.tenants AS tenant
    CROSS JOIN LATERAL (
        SELECT id FROM dripiq_app.outbound_messages AS message
        WHERE message.tenant_id = tenant.id AND message.id = ANY (CAST(:ids AS text[]))
        LIMIT 1
    ) AS answered
    WHERE CAST(:among AS text[]) IS NULL OR tenant.id = ANY (CAST(:among AS text[]))
    ORDER BY tenant.id
    """
)
"""The same by the mail that it answers: a probe per tenant, for an id leads to a message only together with its tenant."""

FIND_UNREAD_TENANTS = text(
    """
    WITH RECURSIVE tenant (tenant_id) AS (
        (SELECT tenant_id FROM dripiq_app.webhook_deliveries
        WHERE status = 'received' AND provider = ANY (CAST(:providers AS text[])) ORDER BY tenant_id, received_at LIMIT 1)
        UNION ALL
        SELECT next.tenant_id
        FROM tenant
        CROSS JOIN LATERAL (
            SELECT tenant_id FROM dripiq_app.webhook_deliveries
            WHERE status = 'received' AND provider = ANY (CAST(:providers AS text[])) AND tenant_id > tenant.tenant_id
            ORDER BY tenant_id, received_at LIMIT 1
        ) AS next
    )
    SELECT tenant_id FROM tenant
    """
)

READ_UNREAD = text(
    """
    SELECT id, provider, raw, received_at
    FROM (
        SELECT id, provider, raw, received_at, sum(length(raw)) OVER (ORDER BY received_at, id) - length(raw) AS bytes_before
        FROM (
            SELECT id, provider, raw, received_at FROM dripiq_app.webhook_deliveries
            WHERE tenant_id = :tenant_id AND status = 'received' AND provider = ANY (CAST(:providers AS text[]))
            ORDER BY received_at
            LIMIT :limit
        ) AS oldest
    ) AS measured
    WHERE bytes_before < :bytes
    ORDER BY received_at, id
    """
)
"""As many as fit, and always one."""

READ_KNOWN_INBOUND = text(
    """
    SELECT provider_message_id FROM dripiq_app.inbound_messages
    WHERE tenant_id = :tenant_id AND channel = :channel AND provider_message_id = ANY (CAST(:ids AS text[]))
    """
)

READ_OWN_ADDRESSES = text(
    """
    SELECT from_email FROM dripiq_app.email_sender_identities
    WHERE tenant_id = :tenant_id AND from_email = ANY (CAST(:addresses AS text[]))
    """
)

READ_SENT_TO = text(
    """
    SELECT campaign.contact_id, message.id, message.subject
    FROM dripiq_app.contact_campaigns AS campaign
    JOIN dripiq_app.outbound_messages AS message ON message.tenant_id = :tenant_id AND message.contact_campaign_id = campaign.id
    WHERE campaign.tenant_id = :tenant_id AND campaign.contact_id = ANY (CAST(:contact_ids AS text[])) AND campaign.channel = :channel
        AND message.sent_at IS NOT NULL
    ORDER BY message.sent_at DESC, message.id
    """
)
"""What contacts were sent on a channel, the last first."""

INSERT_INBOUND = text(
    """
    INSERT INTO dripiq_app.inbound_messages (
        tenant_id, id, contact_campaign_id, contact_id, channel, to_address, from_address, subject, text, html, attachments, headers, in_reply_to,
        classification, provider_message_id, received_at, created_at, updated_at
    )
    SELECT :tenant_id, new.id, new.campaign_id, campaign.contact_id, new.channel, new.to_address, new.from_address, new.subject, new.text, new.html,
        new.attachments, new.headers, new.in_reply_to, new.classification, new.provider_message_id, new.received_at, :now, :now
    FROM unnest(
        CAST(:ids AS text[]), CAST(:campaign_ids AS text[]), CAST(:channels AS text[]), CAST(:to_addresses AS text[]),
        CAST(:from_addresses AS text[]), CAST(:subjects AS text[]), CAST(:texts AS text[]), CAST(:htmls AS text[]), CAST(:attachments AS jsonb[]),
        CAST(:headers AS jsonb[]), CAST(:in_reply_tos AS text[]), CAST(:classifications AS text[]), CAST(:provider_message_ids AS text[]),
        CAST(:received_ats AS timestamptz[])
    ) AS new (
        id, campaign_id, channel, to_address, from_address, subject, text, html, attachments, headers, in_reply_to, classification,
        provider_message_id, received_at
    )
    LEFT JOIN dripiq_app.contact_campaigns AS campaign ON campaign.tenant_id = :tenant_id AND campaign.id = new.campaign_id
    ON CONFLICT (tenant_id, channel, provider_message_id) DO NOTHING
    """
)


@dataclass(frozen=True, slots=True)
class InboundRow:
    """One message that came in, to store; `attachments` and `headers` are JSON."""

    id: str
    campaign_id: str | None
    channel: str
    to_address: str
    from_address: str
    subject: str | None
    text: str | None
    html: str | None
    attachments: str | None
    headers: str | None
    in_reply_to: str | None
    classification: str
    provider_message_id: str
    received_at: datetime


def find_tenants_by_recipient(connection: Connection, addresses: Iterable[str]) -> list[str]:
    """The tenants that send from one of these addresses, or are answered there."""
    wanted = sorted(set(addresses))
    return list(connection.execute(FIND_TENANTS_BY_RECIPIENT, {"addresses": wanted}).scalars()) if wanted else []


def find_tenants_by_answered(connection: Connection, ids: Iterable[str], among: Sequence[str] = ()) -> list[str]:
    """The tenants (of all, or of these) that have sent one of these messages."""
    wanted = sorted(set(ids))
    if not wanted:
        return []
    parameters = {"ids": wanted, "among": list(among) or None}
    return list(connection.execute(FIND_TENANTS_BY_ANSWERED, parameters).scalars())


def find_unread_tenants(connection: Connection, providers: Iterable[str]) -> list[str]:
    """The tenants with archived messages of these providers that nobody has worked yet, sorted."""
    return list(connection.execute(FIND_UNREAD_TENANTS, {"providers": sorted(providers)}).scalars())


def read_unread(
    connection: Connection, tenant_id: str, providers: Iterable[str], limit: int, bytes_at_most: int
) -> Sequence[Any]:
    """The tenant's oldest unworked messages: at most `limit`, and no further one once `bytes_at_most` are reached."""
    parameters = {"tenant_id": tenant_id, "providers": sorted(providers), "limit": limit, "bytes": bytes_at_most}
    return connection.execute(READ_UNREAD, parameters).all()


def read_known(connection: Connection, tenant_id: str, channel: str, ids: Iterable[str]) -> set[str]:
    """Which of these messages (the provider's ids) are stored already."""
    parameters = {"tenant_id": tenant_id, "channel": channel, "ids": sorted(set(ids))}
    return set(connection.execute(READ_KNOWN_INBOUND, parameters).scalars())


def read_own_addresses(connection: Connection, tenant_id: str, addresses: Iterable[str]) -> set[str]:
    """Which of these addresses the tenant sends from."""
    parameters = {"tenant_id": tenant_id, "addresses": sorted(set(addresses))}
    return set(connection.execute(READ_OWN_ADDRESSES, parameters).scalars())


def read_sent_to(connection: Connection, tenant_id: str, channel: str, contact_ids: Iterable[str]) -> Sequence[Any]:
    """What these contacts were sent: contact_id, id, subject; the last first."""
    parameters = {"tenant_id": tenant_id, "channel": channel, "contact_ids": sorted(set(contact_ids))}
    return connection.execute(READ_SENT_TO, parameters).all()


def insert_inbound(connection: Connection, tenant_id: str, rows: Sequence[InboundRow], now: datetime) -> None:
    """Store messages that came in; what is there already stays."""
    if not rows:
        return
    columns = (
        ("ids", "id"), ("campaign_ids", "campaign_id"), ("channels", "channel"), ("to_addresses", "to_address"), ("from_addresses", "from_address"),
        ("subjects", "subject"), ("texts", "text"), ("htmls", "html"), ("attachments", "attachments"), ("headers", "headers"),
        ("in_reply_tos", "in_reply_to"), ("classifications", "classification"), ("provider_message_ids", "provider_message_id"),
        ("received_ats", "received_at"),
    )  # fmt: skip
    arrays = {plural: [getattr(row, name) for row in rows] for plural, name in columns}
    connection.execute(INSERT_INBOUND, {"tenant_id": tenant_id, "now": now, **arrays})
