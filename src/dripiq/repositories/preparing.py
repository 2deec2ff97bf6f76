"""What has to be known before a message may leave?

The claimed sends with their people, and what the gates, the choice of a sender and the threads ask about them: a statement each for the whole batch.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from dripiq.domain.contents import MAX_REFERENCES
from dripiq.domain.gates import Suppression
from dripiq.domain.states import Channel

READ_SENDS = text(
    """
    SELECT action.id AS action_id, action.run_at, action.node_id, action.visit, campaign.id AS campaign_id, campaign.contact_id, campaign.channel,
        campaign.status, campaign.plan_hash, campaign.sender_identity_id,
        campaign.current_node_id = action.node_id AND campaign.visit = action.visit AS is_current,
        lower(coalesce(primary_channel.value, CASE WHEN campaign.channel = 'email' THEN contact.email END)) AS address,
        to_jsonb(contact) AS contact, to_jsonb(lead) AS lead
    FROM dripiq_app.scheduled_actions AS action
    JOIN dripiq_app.contact_campaigns AS campaign ON campaign.tenant_id = action.tenant_id AND campaign.id = action.contact_campaign_id
    JOIN dripiq_app.lead_point_of_contacts AS contact ON contact.id = campaign.contact_id
    JOIN dripiq_app.leads AS lead ON lead.id = campaign.lead_id
    LEFT JOIN dripiq_app.contact_channels AS primary_channel
        ON primary_channel.tenant_id = action.tenant_id AND primary_channel.contact_id = campaign.contact_id
        AND primary_channel.channel = campaign.channel AND primary_channel.is_primary
    WHERE action.tenant_id = :tenant_id AND action.id = ANY (CAST(:ids AS text[])) AND action.status = 'queued' AND action.job_id = :token
    ORDER BY action.run_at, action.id
    """
)

READ_TENANT = text(
    """
    SELECT to_jsonb(tenant) AS tenant, coalesce(settings.sending_paused_at IS NOT NULL, false) AS paused
    FROM dripiq_app.tenants AS tenant
    LEFT JOIN dripiq_app.tenant_settings AS settings ON settings.tenant_id = tenant.id
    WHERE tenant.id = :tenant_id
    """
)

READ_SENDERS = text(
    """
    SELECT sender.id, sender.from_email, sender.from_name, sender.reply_to, sender.validation_status, sender.dedicated_ip_pool, sender.is_default,
        sender.paused_at, sender.pause_reason, sender.pause_note,
        account.smtp_host, account.smtp_port, account.smtp_security, account.smtp_username, account.smtp_secret
    FROM dripiq_app.email_sender_identities AS sender
    LEFT JOIN dripiq_app.sender_accounts AS account ON account.tenant_id = :tenant_id AND account.sender_identity_id = sender.id
    WHERE sender.tenant_id = :tenant_id AND (sender.id = ANY (CAST(:ids AS text[])) OR sender.is_default)
    ORDER BY sender.id
    """
)

READ_SUPPRESSED = text(
    """
    SELECT scope, value, type, expires_at
    FROM dripiq_app.communication_suppressions
    WHERE tenant_id = :tenant_id AND channel = :channel AND value = ANY (CAST(:values AS text[])) AND (expires_at IS NULL OR expires_at > :now)
    """
)

READ_VALIDATED = text(
    """
    SELECT email, result_status FROM dripiq_app.email_validation_results
    WHERE tenant_id = :tenant_id AND email = ANY (CAST(:values AS text[]))
    """
)

READ_SENT = text(
    """
    SELECT campaign.id AS campaign_id, message.node_id, message.smtp_id, message.subject, message.sender_identity_id
    FROM dripiq_app.contact_campaigns AS campaign
    JOIN LATERAL (
        SELECT id, node_id, smtp_id, subject, sender_identity_id, sent_at FROM dripiq_app.outbound_messages
        WHERE tenant_id = :tenant_id AND contact_campaign_id = campaign.id AND sent_at IS NOT NULL
            AND created_at >= campaign.started_at AND smtp_id IS NOT NULL
        ORDER BY sent_at DESC, id DESC
        LIMIT :most
    ) AS message ON true
    WHERE campaign.tenant_id = :tenant_id AND campaign.id = ANY (CAST(:ids AS text[]))
    ORDER BY campaign.id, message.sent_at, message.id
    """
)


def read_sends(connection: Connection, tenant_id: str, token: str, action_ids: Iterable[str]) -> Sequence[Any]:
    """The claimed sends that the lease still holds, with their campaign, contact and lead as whole rows."""
    return connection.execute(READ_SENDS, {"tenant_id": tenant_id, "ids": list(action_ids), "token": token}).all()


def read_tenant(connection: Connection, tenant_id: str) -> tuple[dict[str, Any], bool] | None:
    """The tenant's row, and whether its sending is paused; None where it is gone."""
    row = connection.execute(READ_TENANT, {"tenant_id": tenant_id}).one_or_none()
    return (row.tenant, row.paused) if row is not None else None


def read_senders(connection: Connection, tenant_id: str, sender_ids: Iterable[str]) -> Sequence[Any]:
    """The named sender identities and the tenant's defaults."""
    return connection.execute(READ_SENDERS, {"tenant_id": tenant_id, "ids": list(sender_ids)}).all()


def read_suppressed(
    connection: Connection, tenant_id: str, channel: Channel, values: Iterable[str], now: datetime
) -> list[Suppression]:
    """The suppressions of these values that are in force at `now`."""
    rows = connection.execute(
        READ_SUPPRESSED, {"tenant_id": tenant_id, "channel": channel, "values": list(values), "now": now}
    )
    return [Suppression(row.scope, row.value, row.type, row.expires_at) for row in rows]


def read_validated(connection: Connection, tenant_id: str, addresses: Iterable[str]) -> dict[str, str]:
    """What validation said of these addresses, where it was asked."""
    rows = connection.execute(READ_VALIDATED, {"tenant_id": tenant_id, "values": list(addresses)})
    return {row.email: row.result_status for row in rows}


def read_sent(connection: Connection, tenant_id: str, campaign_ids: Iterable[str]) -> Sequence[Any]:
    """The last messages that these campaigns sent since they began (`MAX_REFERENCES` of each), the oldest first."""
    parameters = {"tenant_id": tenant_id, "ids": list(campaign_ids), "most": MAX_REFERENCES}
    return connection.execute(READ_SENT, parameters).all()
