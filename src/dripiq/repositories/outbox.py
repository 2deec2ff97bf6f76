"""What has to be known to send, and how is what came of it written?

The statements of dispatch. A message row is the send's identity (`dedupe_key`) and its fence: an outcome is written only while the row is in the
attempt that the outcome speaks of.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from dripiq.domain.accounts import Account
from dripiq.domain.contents import MAX_REFERENCES
from dripiq.domain.gates import Suppression
from dripiq.domain.limits import Booking
from dripiq.domain.states import Channel, MessageStatus

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
