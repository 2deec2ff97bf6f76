"""What is held for a paused sender, and whose is it by now?

Who sends is the rule of `engine.gate_facts.GateFacts.sender_of`; this is the same for many rows at once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

FIND_HOLDING_TENANTS = text(
    "SELECT DISTINCT tenant_id FROM dripiq_app.scheduled_actions WHERE status = 'held' AND reason = ANY (CAST(:reasons AS text[]))"
)
"""By what is held, not by who is paused: the paused sender may be gone."""

READ_HELD_NODES = text(
    """
    SELECT campaign.plan_hash, action.node_id, min(campaign.id) AS campaign_id
    FROM dripiq_app.scheduled_actions AS action
    JOIN dripiq_app.contact_campaigns AS campaign ON campaign.tenant_id = action.tenant_id AND campaign.id = action.contact_campaign_id
    WHERE action.tenant_id = :tenant_id AND action.status = 'held' AND action.reason = ANY (CAST(:reasons AS text[]))
    GROUP BY campaign.plan_hash, action.node_id
    """
)

RELEASE_FOR_ANOTHER = text(
    """
    WITH changed AS MATERIALIZED (
        SELECT action.id, action.reason
        FROM dripiq_app.scheduled_actions AS action
        JOIN dripiq_app.contact_campaigns AS campaign ON campaign.tenant_id = action.tenant_id AND campaign.id = action.contact_campaign_id
        JOIN unnest(CAST(:plan_hashes AS text[]), CAST(:node_ids AS text[]), CAST(:sender_ids AS text[]), CAST(:answer AS bool[]))
            AS node (plan_hash, id, sender_id, answers) ON node.plan_hash = campaign.plan_hash AND node.id = action.node_id
        WHERE action.tenant_id = :tenant_id AND action.status = 'held' AND action.reason = ANY (CAST(:reasons AS text[]))
          AND NOT EXISTS (
              SELECT FROM dripiq_app.email_sender_identities AS sender
              WHERE sender.tenant_id = :tenant_id AND sender.paused_at IS NOT NULL AND sender.id = coalesce(
                  CASE WHEN node.answers THEN (
                      SELECT message.sender_identity_id FROM dripiq_app.outbound_messages AS message
                      WHERE message.tenant_id = :tenant_id AND message.contact_campaign_id = campaign.id AND message.sent_at IS NOT NULL
                          AND message.created_at >= campaign.started_at AND message.smtp_id IS NOT NULL
                      ORDER BY message.sent_at DESC, message.id DESC
                      LIMIT 1
                  ) END,
                  node.sender_id, campaign.sender_identity_id, (
                      SELECT id FROM dripiq_app.email_sender_identities WHERE tenant_id = :tenant_id AND is_default ORDER BY id LIMIT 1
                  )
              )
          )
        ORDER BY action.id
        LIMIT :limit
    ), held AS MATERIALIZED (
        SELECT action.id
        FROM dripiq_app.scheduled_actions AS action
        JOIN changed ON changed.id = action.id AND changed.reason = action.reason
        WHERE action.tenant_id = :tenant_id AND action.status = 'held'
        ORDER BY action.id
        FOR NO KEY UPDATE OF action SKIP LOCKED
    )
    UPDATE dripiq_app.scheduled_actions AS action
    SET status = 'pending', reason = NULL, updated_at = :now
    FROM held
    WHERE action.tenant_id = :tenant_id AND action.id = held.id
    """
)
"""Locked in the order of their ids, as everybody does; who is paused while this runs is met at the gate."""


@dataclass(frozen=True, slots=True)
class NamedSender:
    """Whom a plan's node names as its sender, and whether whoever wrote the message that it answers goes before."""

    plan_hash: str
    node_id: str
    sender_id: str | None
    answers: bool


def find_holding_tenants(connection: Connection, reasons: Iterable[str]) -> list[str]:
    """The tenants with sends that are held for one of these reasons."""
    return sorted(connection.execute(FIND_HOLDING_TENANTS, {"reasons": list(reasons)}).scalars())


def read_held_nodes(connection: Connection, tenant_id: str, reasons: Iterable[str]) -> Sequence[Any]:
    """At which nodes of which plans the tenant's sends are held for these reasons: `plan_hash`, `node_id`, and the `campaign_id` of one of them."""
    return connection.execute(READ_HELD_NODES, {"tenant_id": tenant_id, "reasons": list(reasons)}).all()


def release_for_another(
    connection: Connection,
    tenant_id: str,
    reasons: Iterable[str],
    nodes: Sequence[NamedSender],
    now: datetime,
    limit: int,
) -> int:
    """Let sends that are held for these reasons at these nodes become due again where their sender is none that is paused; how many, at most `limit`."""
    parameters = {
        "tenant_id": tenant_id,
        "reasons": list(reasons),
        "plan_hashes": [node.plan_hash for node in nodes],
        "node_ids": [node.node_id for node in nodes],
        "sender_ids": [node.sender_id for node in nodes],
        "answer": [node.answers for node in nodes],
        "limit": limit,
    }
    return connection.execute(RELEASE_FOR_ANOTHER, {**parameters, "now": now}).rowcount
