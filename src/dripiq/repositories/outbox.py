"""How is a message to send written, and what came of it?

A message row is the send's identity (`dedupe_key`) and its fence: an outcome is written only while the row is in the attempt that the outcome speaks of.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from dripiq.domain.accounts import Account
from dripiq.domain.buckets import Booking
from dripiq.domain.states import Channel, MessageStatus

INSERT_PREPARED = text(
    """
    INSERT INTO dripiq_app.outbound_messages (
        tenant_id, id, contact_campaign_id, contact_id, node_id, visit, channel, sender_identity_id, to_address, subject, body, rendered_body,
        rendered_html, variant, provider, smtp_id, status, scheduled_at, dedupe_key, created_at, updated_at
    )
    SELECT :tenant_id, id, campaign_id, contact_id, node_id, visit, :channel, sender_id, to_address, subject, body, rendered_body, rendered_html,
        variant, :provider, smtp_id, 'queued', scheduled_at, dedupe_key, :now, :now
    FROM unnest(
        CAST(:ids AS text[]), CAST(:campaign_ids AS text[]), CAST(:contact_ids AS text[]), CAST(:node_ids AS text[]), CAST(:visits AS int[]),
        CAST(:sender_ids AS text[]), CAST(:to_addresses AS text[]), CAST(:subjects AS text[]), CAST(:bodies AS text[]),
        CAST(:rendered_bodies AS text[]), CAST(:rendered_htmls AS text[]), CAST(:variants AS text[]), CAST(:smtp_ids AS text[]),
        CAST(:scheduled_ats AS timestamptz[]), CAST(:dedupe_keys AS text[])
    ) AS message (
        id, campaign_id, contact_id, node_id, visit, sender_id, to_address, subject, body, rendered_body, rendered_html, variant, smtp_id,
        scheduled_at, dedupe_key
    )
    ON CONFLICT (tenant_id, dedupe_key) DO UPDATE
    SET sender_identity_id = excluded.sender_identity_id, to_address = excluded.to_address, subject = excluded.subject, body = excluded.body,
        rendered_body = excluded.rendered_body, rendered_html = excluded.rendered_html, variant = excluded.variant,
        provider = excluded.provider, updated_at = excluded.updated_at
    WHERE outbound_messages.status = 'queued'
    RETURNING dedupe_key, id, smtp_id, slot
    """
)
"""A retry meets its own row; one that has left `queued` is not touched, and not returned."""

COMMIT_TO_SEND = text(
    """
    UPDATE dripiq_app.outbound_messages AS message
    SET status = 'sending', attempts = message.attempts + 1, slot = NULL, updated_at = :now
    WHERE message.tenant_id = :tenant_id AND message.id = ANY (CAST(:ids AS text[])) AND message.status = 'queued'
      AND (
          SELECT campaign.status = 'active' AND campaign.current_node_id = message.node_id AND campaign.visit = message.visit
          FROM dripiq_app.contact_campaigns AS campaign
          WHERE campaign.tenant_id = :tenant_id AND campaign.id = message.contact_campaign_id
      )
      AND NOT EXISTS (
          SELECT FROM dripiq_app.communication_suppressions AS suppression
          WHERE suppression.tenant_id = :tenant_id AND suppression.channel = :channel
            AND suppression.value IN (message.to_address, split_part(message.to_address, '@', 2))
            AND suppression.value = CASE suppression.scope
                WHEN 'address' THEN message.to_address ELSE split_part(message.to_address, '@', 2) END
            AND (suppression.expires_at IS NULL OR suppression.expires_at > :now)
          OFFSET 0
      )
      AND NOT EXISTS (
          SELECT FROM dripiq_app.tenant_settings WHERE tenant_id = :tenant_id AND sending_paused_at IS NOT NULL
      )
      AND NOT EXISTS (
          SELECT FROM dripiq_app.email_sender_identities AS sender
          WHERE sender.tenant_id = :tenant_id AND sender.id = message.sender_identity_id AND sender.paused_at IS NOT NULL
          OFFSET 0
      )
    RETURNING message.id, message.attempts
    """
)
"""The point of no return. Its transaction has taken the sending lock (`sending_lock.lock_shared`) by an earlier statement.

The campaign and the suppressions are asked for row by row (`OFFSET 0` keeps PostgreSQL from making a join of it): as joins, the planner would rather walk all
active campaigns, and all of the tenant's suppressions for each message, while it knows little of the tables.
"""

RECORD_ACCEPTED = text(
    """
    UPDATE dripiq_app.outbound_messages AS message
    SET status = CASE WHEN message.status IN ('queued', 'sending', 'in_doubt', 'skipped') THEN 'sent' ELSE message.status END,
        sent_at = coalesce(message.sent_at, :now),
        provider_message_id = coalesce(message.provider_message_id, outcome.provider_message_id),
        error_code = NULL, last_error = NULL, updated_at = :now
    FROM unnest(CAST(:ids AS text[]), CAST(:attempts AS int[]), CAST(:provider_message_ids AS text[]))
        AS outcome (id, attempts, provider_message_id)
    WHERE message.tenant_id = :tenant_id AND message.id = outcome.id AND message.attempts = outcome.attempts
    RETURNING message.id
    """
)
"""That a provider took a message is a fact, whoever holds the lease by now, and whatever was decided without knowing it; the attempt's number is the fence."""

RECORD_REFUSED = text(
    """
    UPDATE dripiq_app.outbound_messages AS message
    SET status = outcome.status, error_code = outcome.code, last_error = outcome.detail, updated_at = :now,
        attempts = message.attempts - CASE WHEN outcome.used THEN 0 ELSE 1 END
    FROM unnest(CAST(:ids AS text[]), CAST(:attempts AS int[]), CAST(:statuses AS text[]), CAST(:codes AS text[]), CAST(:details AS text[]),
        CAST(:used AS bool[])) AS outcome (id, attempts, status, code, detail, used)
    WHERE message.tenant_id = :tenant_id AND message.id = outcome.id AND message.attempts = outcome.attempts
      AND message.status IN ('sending', 'in_doubt')
    RETURNING message.id
    """
)


@dataclass(frozen=True, slots=True)
class Draft:
    """One message to insert as `queued`; `account` is its sender's own, where it has one."""

    id: str
    campaign_id: str
    contact_id: str
    node_id: str
    visit: int
    sender_id: str
    to_address: str
    subject: str | None
    body: str
    rendered_body: str
    rendered_html: str | None
    variant: str | None
    smtp_id: str
    scheduled_at: datetime
    dedupe_key: str
    account: Account | None = None


class Stored(NamedTuple):
    """A `queued` message as its row has it: of a retry the ids of the first attempt, and the slot that it has booked."""

    id: str
    smtp_id: str
    booking: Booking | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one attempt to send, as it is to be written; one that was not `used` handed nothing over, and does not count."""

    message_id: str
    attempts: int
    status: MessageStatus
    provider_message_id: str | None = None
    code: str | None = None
    detail: str | None = None
    used: bool = True


def insert_prepared(
    connection: Connection, tenant_id: str, channel: Channel, provider: str, drafts: Sequence[Draft], now: datetime
) -> dict[str, Stored]:
    """Insert messages as `queued`, or meet the rows of earlier attempts; those that are ready, by dedupe key."""
    if not drafts:
        return {}
    columns = (
        ("ids", "id"), ("campaign_ids", "campaign_id"), ("contact_ids", "contact_id"), ("node_ids", "node_id"), ("visits", "visit"),
        ("sender_ids", "sender_id"), ("to_addresses", "to_address"), ("subjects", "subject"), ("bodies", "body"),
        ("rendered_bodies", "rendered_body"), ("rendered_htmls", "rendered_html"), ("variants", "variant"), ("smtp_ids", "smtp_id"),
        ("scheduled_ats", "scheduled_at"), ("dedupe_keys", "dedupe_key"),
    )  # fmt: skip
    arrays = {plural: [getattr(draft, name) for draft in drafts] for plural, name in columns}
    rows = connection.execute(
        INSERT_PREPARED, {"tenant_id": tenant_id, "channel": channel, "provider": provider, "now": now, **arrays}
    )
    return {
        row.dedupe_key: Stored(row.id, row.smtp_id, Booking.from_json(row.slot) if row.slot is not None else None)
        for row in rows
    }


def commit_to_send(
    connection: Connection, tenant_id: str, channel: Channel, message_ids: Iterable[str], now: datetime
) -> dict[str, int]:
    """Make messages `sending`, as long as nothing forbids it; the attempt's number of each that is, by id."""
    rows = connection.execute(
        COMMIT_TO_SEND, {"tenant_id": tenant_id, "channel": channel, "ids": list(message_ids), "now": now}
    )
    return {row.id: row.attempts for row in rows}


def record_accepted(connection: Connection, tenant_id: str, attempts: Sequence[Attempt], now: datetime) -> set[str]:
    """Write that the provider took these messages; the ids of those it was news for or confirmed."""
    rows = connection.execute(
        RECORD_ACCEPTED,
        {
            "tenant_id": tenant_id,
            "now": now,
            "ids": [a.message_id for a in attempts],
            "attempts": [a.attempts for a in attempts],
            "provider_message_ids": [a.provider_message_id for a in attempts],
        },
    )
    return set(rows.scalars())


def record_refused(connection: Connection, tenant_id: str, attempts: Sequence[Attempt], now: datetime) -> set[str]:
    """Write what came of attempts that were not accepted (`queued` to try again, `failed`, `in_doubt`); the ids of those whose end was still open."""
    rows = connection.execute(
        RECORD_REFUSED,
        {
            "tenant_id": tenant_id,
            "now": now,
            "ids": [a.message_id for a in attempts],
            "attempts": [a.attempts for a in attempts],
            "statuses": [str(a.status) for a in attempts],
            "codes": [a.code for a in attempts],
            "details": [a.detail for a in attempts],
            "used": [a.used for a in attempts],
        },
    )
    return set(rows.scalars())
