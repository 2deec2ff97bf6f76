"""Which senders take turns, how are they doing, and which are paused?"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from dripiq.domain.rotation import Turn
from dripiq.domain.sender_health import LEAST_COMPLAINTS, NOBODY, PauseReason, Rates, Tolerance

READ_TURNS = text(
    """
    SELECT id, coalesce(rotation_weight, 1) AS weight FROM dripiq_app.email_sender_identities
    WHERE tenant_id = :tenant_id AND validation_status = 'verified' AND paused_at IS NULL AND coalesce(rotation_weight, 1) > 0
    ORDER BY id
    """
)

READ_KEPT = text(
    """
    SELECT DISTINCT ON (campaign.contact_id) campaign.contact_id, sender.id AS sender_id
    FROM dripiq_app.contact_campaigns AS campaign
    LEFT JOIN LATERAL (
        SELECT sender_identity_id, sent_at FROM dripiq_app.outbound_messages
        WHERE tenant_id = :tenant_id AND contact_campaign_id = campaign.id AND sent_at IS NOT NULL AND sender_identity_id IS NOT NULL
        ORDER BY sent_at DESC, id DESC
        LIMIT 1
    ) AS message ON true
    JOIN dripiq_app.email_sender_identities AS sender
        ON sender.tenant_id = :tenant_id AND sender.id = coalesce(message.sender_identity_id, campaign.sender_identity_id)
    WHERE campaign.tenant_id = :tenant_id AND campaign.contact_id = ANY (CAST(:contact_ids AS text[]))
        AND sender.validation_status = 'verified' AND sender.paused_at IS NULL
    ORDER BY campaign.contact_id, message.sent_at DESC NULLS LAST, campaign.id
    """
)
"""Whoever wrote to a contact last, over any channel; else the sender that its campaign has."""

FIND_TROUBLED_TENANTS = text(
    """
    SELECT DISTINCT owner.tenant_id
    FROM (
        SELECT DISTINCT tenant_id FROM dripiq_app.email_sender_identities WHERE validation_status = 'verified' AND paused_at IS NULL
    ) AS owner
    JOIN LATERAL (
        SELECT count(DISTINCT told.message_id) FILTER (WHERE told.what <> 'spamreport') AS bounced,
            count(DISTINCT told.message_id) FILTER (WHERE told.what = 'spamreport') AS complained
        FROM (
            SELECT sender.id AS sender_id, message.id AS message_id, event.event_type AS what
            FROM dripiq_app.message_events AS event
            JOIN dripiq_app.outbound_messages AS message ON message.tenant_id = event.tenant_id AND message.id = event.outbound_message_id
            JOIN dripiq_app.email_sender_identities AS sender
                ON sender.tenant_id = event.tenant_id AND sender.id = message.sender_identity_id AND sender.paused_at IS NULL
                AND message.channel = 'email' AND message.sent_at > greatest(:since, sender.rates_since)
            WHERE event.tenant_id = owner.tenant_id AND event.event_type IN ('bounced', 'spamreport')
                AND event.event_at > :since AND event.event_at <= :now
            UNION ALL
            SELECT sender.id, message.id, 'refused'
            FROM dripiq_app.outbound_messages AS message
            JOIN dripiq_app.email_sender_identities AS sender
                ON sender.tenant_id = message.tenant_id AND sender.id = message.sender_identity_id AND sender.paused_at IS NULL
                AND message.updated_at > greatest(:since, sender.rates_since)
            WHERE message.tenant_id = owner.tenant_id AND message.status = 'failed' AND message.updated_at > :since AND message.updated_at <= :now
                AND message.channel = 'email' AND message.sent_at IS NULL AND split_part(message.error_code, ' ', 2) = ANY (CAST(:nobody AS text[]))
        ) AS told
        GROUP BY told.sender_id
    ) AS bad ON bad.bounced >= :least_bounces OR bad.complained >= :least_complaints
    ORDER BY owner.tenant_id
    """
)
"""Finds out whose senders may have to be paused: bounces, complaints and refusals are few, so what was sent is counted for these alone."""

READ_RATES = text(
    """
    WITH recent AS MATERIALIZED (
        SELECT sender_identity_id, coalesce(sent_at, updated_at) AS at, sent_at IS NULL AS refused FROM dripiq_app.outbound_messages
        WHERE tenant_id = :tenant_id AND channel = 'email' AND created_at > CAST(:since AS timestamptz) - INTERVAL '1 day'
            AND (sent_at <= :now
                OR (sent_at IS NULL AND status = 'failed' AND split_part(error_code, ' ', 2) = ANY (CAST(:nobody AS text[])) AND updated_at <= :now))
    )
    SELECT sender.id, coalesce(sent.mails, 0) AS sent, coalesce(bad.bounced, 0) + coalesce(sent.refused, 0) AS bounced,
        coalesce(bad.complained, 0) AS complained
    FROM dripiq_app.email_sender_identities AS sender
    LEFT JOIN (
        SELECT own.id AS sender_id, count(*) AS mails, count(*) FILTER (WHERE recent.refused) AS refused
        FROM recent JOIN dripiq_app.email_sender_identities AS own
            ON own.tenant_id = :tenant_id AND own.id = recent.sender_identity_id AND recent.at > greatest(:since, own.rates_since)
        GROUP BY own.id
    ) AS sent ON sent.sender_id = sender.id
    LEFT JOIN (
        SELECT message.sender_identity_id AS sender_id, count(DISTINCT message.id) FILTER (WHERE event.event_type = 'bounced') AS bounced,
            count(DISTINCT message.id) FILTER (WHERE event.event_type = 'spamreport') AS complained
        FROM dripiq_app.message_events AS event
        JOIN dripiq_app.outbound_messages AS message
            ON message.tenant_id = :tenant_id AND message.id = event.outbound_message_id AND message.channel = 'email'
            AND message.created_at > CAST(:since AS timestamptz) - INTERVAL '1 day'
        JOIN dripiq_app.email_sender_identities AS own
            ON own.tenant_id = :tenant_id AND own.id = message.sender_identity_id AND message.sent_at > greatest(:since, own.rates_since)
        WHERE event.tenant_id = :tenant_id AND event.event_type IN ('bounced', 'spamreport') AND event.event_at > :since AND event.event_at <= :now
        GROUP BY message.sender_identity_id
    ) AS bad ON bad.sender_id = sender.id
    WHERE sender.tenant_id = :tenant_id
    ORDER BY sender.id
    """
)
"""What was sent before a sender was resumed, or before the window, counts no more, nor what came of it. What was sent of late is read before it is
parted by sender: joined to them first, all that each ever sent is looked through. What was refused as to nobody was never sent, and counts as sent and as
bounced when it was refused, which nothing writes anew; once an event tells that it left after all, it is one that was sent."""

PAUSE_SENDERS = text(
    """
    UPDATE dripiq_app.email_sender_identities AS sender
    SET paused_at = :now, pause_reason = pause.reason, pause_note = pause.note, updated_at = :now
    FROM unnest(CAST(:ids AS text[]), CAST(:reasons AS text[]), CAST(:notes AS text[])) AS pause (id, reason, note)
    WHERE sender.tenant_id = :tenant_id AND sender.id = pause.id AND sender.paused_at IS NULL
    RETURNING sender.id
    """
)

RESUME_SENDER = text(
    """
    UPDATE dripiq_app.email_sender_identities
    SET paused_at = NULL, pause_reason = NULL, pause_note = NULL, rates_since = :now, updated_at = :now
    WHERE tenant_id = :tenant_id AND id = :id AND paused_at IS NOT NULL
    """
)

WEIGH_SENDER = text(
    """
    UPDATE dripiq_app.email_sender_identities SET rotation_weight = :weight, updated_at = :now
    WHERE tenant_id = :tenant_id AND id = :id
    """
)

FIND_SENDER = text(
    """
    SELECT id, from_email, paused_at, pause_reason FROM dripiq_app.email_sender_identities
    WHERE tenant_id = :tenant_id AND (id = :given OR from_email = lower(:given))
    """
)


def read_turns(connection: Connection, tenant_id: str) -> list[Turn]:
    """The tenant's senders that take turns, in the order of their ids."""
    return [Turn(row.id, row.weight) for row in connection.execute(READ_TURNS, {"tenant_id": tenant_id})]


def read_kept(connection: Connection, tenant_id: str, contact_ids: Iterable[str]) -> dict[str, str]:
    """Who wrote to these contacts before and may still send: the sender's id by the contact's."""
    rows = connection.execute(READ_KEPT, {"tenant_id": tenant_id, "contact_ids": list(contact_ids)})
    return {row.contact_id: row.sender_id for row in rows}


def find_troubled_tenants(connection: Connection, tolerance: Tolerance, now: datetime) -> list[str]:
    """Tenants with a sender that has bounces or complaints enough to be looked at."""
    parameters = {
        "since": now - tolerance.window,
        "now": now,
        "least_bounces": tolerance.least_bounces,
        "least_complaints": LEAST_COMPLAINTS,
        "nobody": sorted(NOBODY),
    }
    return list(connection.execute(FIND_TROUBLED_TENANTS, parameters).scalars())


def read_rates(connection: Connection, tenant_id: str, tolerance: Tolerance, now: datetime) -> dict[str, Rates]:
    """What became of the mails of each of a tenant's senders in the window, since it was last resumed; by id."""
    parameters = {"tenant_id": tenant_id, "since": now - tolerance.window, "now": now, "nobody": sorted(NOBODY)}
    rows = connection.execute(READ_RATES, parameters)
    return {row.id: Rates(row.sent, row.bounced, row.complained) for row in rows}


def pause_senders(
    connection: Connection, tenant_id: str, pauses: Sequence[tuple[str, PauseReason, str | None]], now: datetime
) -> list[str]:
    """Pause senders (id, reason, note) that are not paused yet; the ids of those that were not."""
    ids, reasons, notes = zip(*pauses, strict=True) if pauses else ((), (), ())
    parameters = {"tenant_id": tenant_id, "ids": list(ids), "reasons": list(map(str, reasons)), "notes": list(notes)}
    return list(connection.execute(PAUSE_SENDERS, {**parameters, "now": now}).scalars())


def resume_sender(connection: Connection, tenant_id: str, sender_id: str, now: datetime) -> bool:
    """Let a sender send again; whether it was paused."""
    return connection.execute(RESUME_SENDER, {"tenant_id": tenant_id, "id": sender_id, "now": now}).rowcount > 0


def weigh_sender(connection: Connection, tenant_id: str, sender_id: str, weight: int, now: datetime) -> None:
    """Say how often a sender has its turn beside the others."""
    connection.execute(WEIGH_SENDER, {"tenant_id": tenant_id, "id": sender_id, "weight": weight, "now": now})


def find_sender(connection: Connection, tenant_id: str, given: str) -> Any | None:
    """The tenant's sender of that id or address."""
    return connection.execute(FIND_SENDER, {"tenant_id": tenant_id, "given": given}).one_or_none()
