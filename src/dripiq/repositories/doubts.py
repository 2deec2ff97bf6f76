"""Which messages may or may not have been handed over, and how is that settled?

A message that stays `sending` without a lease is in doubt. It is sent again only where the tenant chose `resend`; else it counts as sent after the
tenant's time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

FIND_ORPHANS = text(
    """
    SELECT DISTINCT tenant_id FROM dripiq_app.outbound_messages WHERE status = 'sending' AND updated_at < :before
    """
)

MARK_IN_DOUBT = text(
    """
    UPDATE dripiq_app.outbound_messages AS message
    SET status = 'in_doubt', error_code = coalesce(error_code, 'worker_lost'), updated_at = :now
    WHERE message.tenant_id = :tenant_id AND message.id IN (
        SELECT id FROM dripiq_app.outbound_messages
        WHERE tenant_id = :tenant_id AND status = 'sending' AND updated_at < :before
        LIMIT :limit
        FOR NO KEY UPDATE SKIP LOCKED
    )
      AND NOT EXISTS (
        SELECT FROM dripiq_app.scheduled_actions AS action
        WHERE action.tenant_id = :tenant_id AND action.contact_campaign_id = message.contact_campaign_id AND action.node_id = message.node_id
          AND action.visit = message.visit AND action.action_type = 'send' AND action.status = 'queued' AND action.lease_until >= :now
    )
    RETURNING message.id
    """
)

FIND_OLD_DOUBTS = text(
    """
    SELECT message.tenant_id, message.id AS message_id, message.contact_campaign_id AS campaign_id, message.node_id, message.visit,
        message.updated_at AS since, coalesce(settings.in_doubt_policy, 'assume_sent') AS policy
    FROM dripiq_app.outbound_messages AS message
    LEFT JOIN dripiq_app.tenant_settings AS settings ON settings.tenant_id = message.tenant_id
    WHERE message.status = 'in_doubt' AND message.updated_at < :now - coalesce(settings.in_doubt_after, INTERVAL '24 hours')
    ORDER BY message.updated_at
    LIMIT :limit
    """
)

ASSUME_SENT = text(
    """
    UPDATE dripiq_app.outbound_messages
    SET status = 'sent', sent_at = updated_at, error_code = 'assumed_sent', updated_at = :now
    WHERE tenant_id = :tenant_id AND id = ANY (CAST(:ids AS text[])) AND status = 'in_doubt'
    RETURNING id
    """
)

RESEND_MESSAGES = text(
    """
    UPDATE dripiq_app.outbound_messages
    SET status = 'queued', error_code = 'sent_again', updated_at = :now
    WHERE tenant_id = :tenant_id AND id = ANY (CAST(:ids AS text[])) AND status = 'in_doubt'
      AND EXISTS (
          SELECT FROM dripiq_app.scheduled_actions AS action
          WHERE action.tenant_id = :tenant_id AND action.contact_campaign_id = outbound_messages.contact_campaign_id
            AND action.node_id = outbound_messages.node_id AND action.visit = outbound_messages.visit AND action.action_type = 'send'
            AND action.status IN ('pending', 'queued', 'held')
      )
    RETURNING id
    """
)
"""Only where the campaign still wants the send; what is left counts as sent."""

RESEND_ACTIONS = text(
    """
    UPDATE dripiq_app.scheduled_actions AS action
    SET status = 'pending', reason = 'sent_again', run_at = :now, updated_at = :now
    FROM dripiq_app.outbound_messages AS message
    WHERE message.tenant_id = :tenant_id AND message.id = ANY (CAST(:ids AS text[]))
      AND action.tenant_id = :tenant_id AND action.contact_campaign_id = message.contact_campaign_id AND action.node_id = message.node_id
      AND action.visit = message.visit AND action.action_type = 'send' AND action.status = 'held' AND action.reason = :reason
    """
)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A message in doubt, since when, and what its tenant wants done about it."""

    tenant_id: str
    message_id: str
    campaign_id: str
    node_id: str
    visit: int
    since: datetime
    policy: str


def find_orphans(connection: Connection, before: datetime) -> list[str]:
    """The tenants with messages that have been `sending` since before `before`."""
    return sorted(connection.execute(FIND_ORPHANS, {"before": before}).scalars())


def mark_in_doubt(connection: Connection, tenant_id: str, before: datetime, now: datetime, limit: int) -> int:
    """Mark a tenant's messages that have been `sending` since before `before` and that no lease speaks for; how many."""
    parameters = {"tenant_id": tenant_id, "before": before, "now": now, "limit": limit}
    return len(connection.execute(MARK_IN_DOUBT, parameters).all())


def find_old_doubts(connection: Connection, now: datetime, limit: int) -> list[Doubt]:
    """The oldest messages that have been in doubt for longer than their tenant waits."""
    return [Doubt(**row._mapping) for row in connection.execute(FIND_OLD_DOUBTS, {"now": now, "limit": limit})]


def assume_sent(connection: Connection, tenant_id: str, message_ids: Sequence[str], now: datetime) -> set[str]:
    """Take messages in doubt as sent at the time of the doubt; the ids of those that still were in doubt."""
    return set(
        connection.execute(ASSUME_SENT, {"tenant_id": tenant_id, "ids": list(message_ids), "now": now}).scalars()
    )


def resend(connection: Connection, tenant_id: str, message_ids: Sequence[str], reason: str, now: datetime) -> int:
    """Let messages in doubt be sent again, outside the guarantee; how many."""
    parameters = {"tenant_id": tenant_id, "ids": list(message_ids), "now": now}
    again = connection.execute(RESEND_MESSAGES, parameters).all()
    connection.execute(RESEND_ACTIONS, {**parameters, "ids": [row.id for row in again], "reason": reason})
    return len(again)
