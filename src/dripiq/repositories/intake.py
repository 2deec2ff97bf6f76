"""How do archived slices become events, message statuses and suppressions?

The statements of normalise, all of one tenant. An event meets its first copy by (provider, provider_event_id, event_at); a status moves only up its
ranks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from dripiq.domain.states import MessageStatus
from dripiq.schema.ids import new_ids

FIND_RECEIVED_TENANTS = text(
    """
    WITH RECURSIVE tenant (tenant_id) AS (
        (SELECT tenant_id FROM dripiq_app.webhook_deliveries
        WHERE status = 'received' AND provider = ANY (CAST(:providers AS text[])) AND (provider <> 'dripiq' OR received_at <= :ripe)
        ORDER BY tenant_id, received_at LIMIT 1)
        UNION ALL
        SELECT next.tenant_id
        FROM tenant
        CROSS JOIN LATERAL (
            SELECT tenant_id FROM dripiq_app.webhook_deliveries
            WHERE status = 'received' AND provider = ANY (CAST(:providers AS text[])) AND (provider <> 'dripiq' OR received_at <= :ripe)
                AND tenant_id > tenant.tenant_id
            ORDER BY tenant_id, received_at LIMIT 1
        ) AS next
    )
    SELECT tenant_id FROM tenant
    """
)

TAKE_TURN = text("SELECT pg_try_advisory_xact_lock(hashtextextended('dripiq.normalise:' || :tenant_id, 0))")
"""One worker at a time normalises a tenant: its events are worked in order, and none twice."""

READ_RECEIVED = text(
    """
    SELECT id, provider, raw, received_at
    FROM (
        SELECT id, provider, raw, received_at, sum(length(raw)) OVER (ORDER BY received_at, id) - length(raw) AS bytes_before
        FROM (
            SELECT id, provider, raw, received_at FROM dripiq_app.webhook_deliveries
            WHERE tenant_id = :tenant_id AND status = 'received' AND provider = ANY (CAST(:providers AS text[]))
                AND (provider <> 'dripiq' OR received_at <= :ripe)
            ORDER BY received_at
            LIMIT :limit
        ) AS oldest
    ) AS measured
    WHERE bytes_before < :bytes
    ORDER BY received_at, id
    """
)
"""As many as fit, and always one: a batch is held in memory, and while it is written the tenant's sending may wait."""

READ_MESSAGES = text(
    """
    SELECT message.id, contact_campaign_id, node_id, visit, channel, to_address, provider, provider_message_id, sent_at, (
            SELECT plan_hash FROM dripiq_app.contact_campaigns AS campaign
            WHERE campaign.tenant_id = :tenant_id AND campaign.id = message.contact_campaign_id
        ) AS plan_hash
    FROM (
        SELECT * FROM dripiq_app.outbound_messages WHERE tenant_id = :tenant_id AND id = ANY (CAST(:ids AS text[]))
        UNION ALL
        SELECT * FROM dripiq_app.outbound_messages
        WHERE tenant_id = :tenant_id AND provider = :provider AND provider_message_id = ANY (CAST(:provider_message_ids AS text[]))
            AND id <> ALL (CAST(:ids AS text[]))
    ) AS message
    """
)

INSERT_EVENTS = text(
    """
    INSERT INTO dripiq_app.message_events (
        tenant_id, id, outbound_message_id, contact_campaign_id, provider, event_type, event_at, url, ip, user_agent, provider_event_id, payload,
        confidence, created_at, updated_at
    )
    SELECT :tenant_id, event.*, :now, :now
    FROM unnest(
        CAST(:ids AS text[]), CAST(:message_ids AS text[]), CAST(:campaign_ids AS text[]), CAST(:providers AS text[]), CAST(:types AS text[]),
        CAST(:ats AS timestamptz[]), CAST(:urls AS text[]), CAST(:ips AS text[]), CAST(:user_agents AS text[]), CAST(:event_ids AS text[]),
        CAST(:payloads AS jsonb[]), CAST(:confidences AS text[])
    ) AS event
    ON CONFLICT (tenant_id, provider, provider_event_id, event_at) DO NOTHING
    RETURNING id
    """
)

RAISE_STATUSES = text(
    """
    UPDATE dripiq_app.outbound_messages AS message
    SET status = CASE WHEN array_position(CAST(:ranked AS text[]), message.status) < array_position(CAST(:ranked AS text[]), fact.status)
            THEN fact.status ELSE message.status END,
        sent_at = coalesce(message.sent_at, fact.at),
        provider_message_id = coalesce(message.provider_message_id, fact.provider_message_id),
        updated_at = :now
    FROM unnest(CAST(:ids AS text[]), CAST(:statuses AS text[]), CAST(:ats AS timestamptz[]), CAST(:provider_message_ids AS text[]))
        AS fact (id, status, at, provider_message_id)
    WHERE message.tenant_id = :tenant_id AND message.id = fact.id
      AND (array_position(CAST(:ranked AS text[]), message.status) < array_position(CAST(:ranked AS text[]), fact.status)
        OR message.sent_at IS NULL OR (message.provider_message_id IS NULL AND fact.provider_message_id IS NOT NULL))
    """
)
"""A later fact never weakens an earlier one."""

UPSERT_SUPPRESSIONS = text(
    """
    INSERT INTO dripiq_app.communication_suppressions (
        tenant_id, id, channel, value, scope, type, source, first_seen_at, last_seen_at, expires_at, created_at, updated_at
    )
    SELECT :tenant_id, id, channel, value, scope, type, source, seen_at, seen_at, NULL, :now, :now
    FROM unnest(
        CAST(:ids AS text[]), CAST(:channels AS text[]), CAST(:values AS text[]), CAST(:scopes AS text[]), CAST(:types AS text[]),
        CAST(:sources AS text[]), CAST(:seen_ats AS timestamptz[])
    ) AS suppression (id, channel, value, scope, type, source, seen_at)
    ON CONFLICT (tenant_id, channel, value, type) DO UPDATE
    SET last_seen_at = greatest(communication_suppressions.last_seen_at, excluded.last_seen_at),
        first_seen_at = least(communication_suppressions.first_seen_at, excluded.first_seen_at),
        source = CASE WHEN communication_suppressions.source = 'reply' OR communication_suppressions.expires_at <= excluded.updated_at
            THEN excluded.source ELSE communication_suppressions.source END,
        expires_at = NULL, updated_at = excluded.updated_at
    """
)
"""What a reply has closed, another reply may open again; not so once something else has closed it too, unless that had ended."""

FINISH_DELIVERIES = text(
    """
    UPDATE dripiq_app.webhook_deliveries AS delivery
    SET status = done.status, error = done.error, processed_at = :now, attempts = delivery.attempts + 1, updated_at = :now
    FROM unnest(CAST(:ids AS text[]), CAST(:statuses AS text[]), CAST(:errors AS text[])) AS done (id, status, error)
    WHERE delivery.tenant_id = :tenant_id AND delivery.id = done.id
    """
)


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event to store."""

    id: str
    message_id: str | None
    campaign_id: str | None
    provider: str
    type: str
    at: datetime
    url: str | None
    ip: str | None
    user_agent: str | None
    event_id: str
    payload: str
    confidence: str


@dataclass(frozen=True, slots=True)
class StatusFact:
    """What an event says of its message."""

    message_id: str
    status: MessageStatus
    at: datetime
    provider_message_id: str | None


@dataclass(frozen=True, slots=True)
class Suppression:
    """An address or domain to write to no more."""

    channel: str
    value: str
    scope: str
    type: str
    source: str
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Finished:
    """How the work on one delivery ended; `error` lists index and code of each bad event."""

    id: str
    status: str
    error: str | None


def find_received_tenants(connection: Connection, providers: Iterable[str], ripe: datetime) -> list[str]:
    """The tenants with deliveries of these providers that nobody has worked yet, sorted; what our own links told counts where it came no later than `ripe`."""
    return list(connection.execute(FIND_RECEIVED_TENANTS, {"providers": sorted(providers), "ripe": ripe}).scalars())


def take_turn(connection: Connection, tenant_id: str) -> bool:
    """Whether this transaction may normalise the tenant's deliveries; false while another does."""
    return bool(connection.execute(TAKE_TURN, {"tenant_id": tenant_id}).scalar_one())


def read_received(
    connection: Connection, tenant_id: str, providers: Iterable[str], ripe: datetime, limit: int, bytes_at_most: int
) -> Sequence[Any]:
    """The tenant's oldest unworked deliveries: at most `limit`, and no further one once `bytes_at_most` are reached."""
    parameters = {
        "tenant_id": tenant_id,
        "providers": sorted(providers),
        "ripe": ripe,
        "limit": limit,
        "bytes": bytes_at_most,
    }
    return connection.execute(READ_RECEIVED, parameters).all()


def read_messages(
    connection: Connection, tenant_id: str, provider: str, ids: Iterable[str], provider_message_ids: Iterable[str]
) -> Sequence[Any]:
    """The tenant's messages by their own ids or by the provider's."""
    parameters = {
        "tenant_id": tenant_id,
        "provider": provider,
        "ids": sorted(set(ids)),
        "provider_message_ids": sorted(set(provider_message_ids)),
    }
    return connection.execute(READ_MESSAGES, parameters).all()


def insert_events(connection: Connection, tenant_id: str, events: Sequence[EventRow], now: datetime) -> set[str]:
    """Store events; the ids of those that are new."""
    if not events:
        return set()
    columns = (
        ("ids", "id"), ("message_ids", "message_id"), ("campaign_ids", "campaign_id"), ("providers", "provider"), ("types", "type"),
        ("ats", "at"), ("urls", "url"), ("ips", "ip"), ("user_agents", "user_agent"), ("event_ids", "event_id"), ("payloads", "payload"),
        ("confidences", "confidence"),
    )  # fmt: skip
    arrays = {plural: [getattr(event, name) for event in events] for plural, name in columns}
    return set(connection.execute(INSERT_EVENTS, {"tenant_id": tenant_id, "now": now, **arrays}).scalars())


def raise_statuses(connection: Connection, tenant_id: str, facts: Sequence[StatusFact], now: datetime) -> None:
    """Move messages up to what events say of them (one fact per message)."""
    if not facts:
        return
    connection.execute(
        RAISE_STATUSES,
        {
            "tenant_id": tenant_id,
            "now": now,
            "ranked": [str(status) for status in sorted(MessageStatus, key=lambda status: status.rank)],
            "ids": [f.message_id for f in facts],
            "statuses": [str(f.status) for f in facts],
            "ats": [f.at for f in facts],
            "provider_message_ids": [f.provider_message_id for f in facts],
        },
    )


def upsert_suppressions(
    connection: Connection, tenant_id: str, suppressions: Sequence[Suppression], now: datetime
) -> None:
    """Suppress addresses, after everything else that this transaction locks.

    Who promises that nothing leaves once it has committed has taken the sending lock exclusively before (`sending_lock.lock_exclusive`).
    """
    by_key = {(str(s.channel), s.value, str(s.type)): s for s in suppressions}
    unique = [by_key[key] for key in sorted(by_key)]  # in the order in which END_SUPPRESSIONS locks them
    connection.execute(
        UPSERT_SUPPRESSIONS,
        {
            "tenant_id": tenant_id,
            "now": now,
            "ids": new_ids(len(unique)),
            "channels": [s.channel for s in unique],
            "values": [s.value for s in unique],
            "scopes": [s.scope for s in unique],
            "types": [s.type for s in unique],
            "sources": [s.source for s in unique],
            "seen_ats": [s.seen_at for s in unique],
        },
    )


def finish_deliveries(connection: Connection, tenant_id: str, finished: Sequence[Finished], now: datetime) -> None:
    """Mark deliveries as worked."""
    connection.execute(
        FINISH_DELIVERIES,
        {
            "tenant_id": tenant_id,
            "now": now,
            "ids": [f.id for f in finished],
            "statuses": [f.status for f in finished],
            "errors": [f.error for f in finished],
        },
    )
