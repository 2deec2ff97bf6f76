"""Which messages may or may not have been handed over, and how is that settled?

A message that stays `sending` without a lease is in doubt. It is sent again only where the tenant chose `resend`; else it counts as sent after the
tenant's time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

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

LIST_DOUBTS = text(
    """
    SELECT message.tenant_id, tenant.name AS tenant, message.id, message.contact_campaign_id AS campaign, message.node_id AS node, message.visit,
        message.channel, message.to_address AS "to", message.subject, message.provider, message.error_code, message.last_error,
        message.updated_at AS since, coalesce(settings.in_doubt_policy, 'assume_sent') AS policy,
        message.updated_at + coalesce(settings.in_doubt_after, INTERVAL '24 hours') AS settled_at
    FROM dripiq_app.outbound_messages AS message
    JOIN dripiq_app.tenants AS tenant ON tenant.id = message.tenant_id
    LEFT JOIN dripiq_app.tenant_settings AS settings ON settings.tenant_id = message.tenant_id
    WHERE message.status = 'in_doubt' AND (CAST(:tenant_id AS text) IS NULL OR message.tenant_id = :tenant_id)
    ORDER BY message.updated_at, message.id
    LIMIT :limit
    """
)
"""An operator's list, over all tenants where none is named; the index of the few messages in doubt serves it."""

FIND_DOUBTS = text(
    """
    SELECT tenant_id, id AS message_id, contact_campaign_id AS campaign_id, node_id, visit, updated_at AS since
    FROM dripiq_app.outbound_messages
    WHERE id = ANY (CAST(:ids AS text[])) AND status = 'in_doubt' AND (CAST(:tenant_id AS text) IS NULL OR tenant_id = :tenant_id)
    ORDER BY tenant_id, id
    """
)
"""Whose these messages are: an operator names them by id alone."""

ASSUME_SENT = text(
    """
    UPDATE dripiq_app.outbound_messages
    SET status = 'sent', sent_at = updated_at, error_code = :code, updated_at = :now
    WHERE tenant_id = :tenant_id AND id = ANY (CAST(:ids AS text[])) AND status = 'in_doubt'
    RETURNING id
    """
)

GIVE_UP = text(
    """
    UPDATE dripiq_app.outbound_messages
    SET status = 'failed', error_code = :code, updated_at = :now
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
    """A message in doubt, since when, and, of one that is old enough, what its tenant wants done about it."""

    tenant_id: str
    message_id: str
    campaign_id: str
    node_id: str
    visit: int
    since: datetime
    policy: str | None = None


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


def list_doubts(connection: Connection, tenant_id: str | None, limit: int) -> list[dict[str, Any]]:
    """The messages in doubt, the oldest first, as a person wants to see them; of all tenants where none is named."""
    rows = connection.execute(LIST_DOUBTS, {"tenant_id": tenant_id, "limit": limit})
    return [dict(row._mapping) for row in rows]


def find_doubts(connection: Connection, message_ids: Sequence[str], tenant_id: str | None) -> list[Doubt]:
    """Those of these messages that are in doubt."""
    rows = connection.execute(FIND_DOUBTS, {"ids": list(message_ids), "tenant_id": tenant_id})
    return [Doubt(**row._mapping) for row in rows]


def assume_sent(
    connection: Connection, tenant_id: str, message_ids: Sequence[str], code: str, now: datetime
) -> set[str]:
    """Take messages in doubt as sent at the time of the doubt; the ids of those that still were in doubt. `code` says on whose word."""
    parameters = {"tenant_id": tenant_id, "ids": list(message_ids), "code": code, "now": now}
    return set(connection.execute(ASSUME_SENT, parameters).scalars())


def give_up(connection: Connection, tenant_id: str, message_ids: Sequence[str], code: str, now: datetime) -> set[str]:
    """Take messages in doubt as never sent, and not to be sent; the ids of those that still were in doubt."""
    parameters = {"tenant_id": tenant_id, "ids": list(message_ids), "code": code, "now": now}
    return set(connection.execute(GIVE_UP, parameters).scalars())


def resend(connection: Connection, tenant_id: str, message_ids: Sequence[str], reason: str, now: datetime) -> set[str]:
    """Let messages in doubt be sent again, outside the guarantee; the ids of those that are. `reason` is what holds their actions."""
    parameters = {"tenant_id": tenant_id, "ids": list(message_ids), "now": now}
    again = set(connection.execute(RESEND_MESSAGES, parameters).scalars())
    connection.execute(RESEND_ACTIONS, {**parameters, "ids": sorted(again), "reason": reason})
    return again
