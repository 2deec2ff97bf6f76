"""Which plans do a tenant's open campaigns follow, what keeps one from moving to another, and how is it written that it did?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, text

from dripiq.domain.replan import MIGRATED
from dripiq.domain.states import CampaignStatus
from dripiq.schema.ids import new_ids

COUNT_FOLLOWED = text(
    """
    SELECT plan_hash, channel, count(*) AS campaigns, min(id) AS example FROM dripiq_app.contact_campaigns
    WHERE tenant_id = :tenant_id AND status = ANY (CAST(:statuses AS text[]))
    GROUP BY plan_hash, channel
    ORDER BY count(*) DESC, plan_hash
    """
)

PAGE_FOLLOWERS = text(
    """
    SELECT id FROM dripiq_app.contact_campaigns
    WHERE tenant_id = :tenant_id AND plan_hash = :plan_hash AND status = ANY (CAST(:statuses AS text[])) AND id > :after
    ORDER BY id
    LIMIT :limit
    """
)

READ_IN_HAND = text(
    """
    SELECT contact_campaign_id AS id, CASE status WHEN 'queued' THEN 'in_hand_over' ELSE 'in_doubt' END AS reason
    FROM dripiq_app.scheduled_actions
    WHERE tenant_id = :tenant_id AND contact_campaign_id = ANY (CAST(:ids AS text[])) AND action_type = 'send'
      AND (status = 'queued' OR (status = 'held' AND reason = 'in_doubt'))
    UNION ALL
    SELECT contact_campaign_id, CASE status WHEN 'sending' THEN 'in_hand_over' ELSE 'in_doubt' END
    FROM dripiq_app.outbound_messages
    WHERE tenant_id = :tenant_id AND contact_campaign_id = ANY (CAST(:ids AS text[])) AND status IN ('sending', 'in_doubt')
    """
)
"""Asked once the campaigns and their open actions are locked: no claim takes one of them meanwhile."""

UPDATE_PLANS = text(
    """
    UPDATE dripiq_app.contact_campaigns
    SET plan_json = CAST(:plan AS jsonb), plan_hash = :plan_hash, plan_version = :plan_version, updated_at = :now
    WHERE tenant_id = :tenant_id AND id = ANY (CAST(:ids AS text[]))
    """
)

INSERT_MIGRATED_VERSIONS = text(
    """
    INSERT INTO dripiq_app.campaign_plan_versions (
        tenant_id, id, contact_campaign_id, version, plan_json, plan_hash, generated_by, created_by, notes, created_at, updated_at
    )
    SELECT :tenant_id, moved.id, moved.campaign_id, (
            SELECT count(*) + 1 FROM dripiq_app.campaign_plan_versions AS earlier
            WHERE earlier.tenant_id = :tenant_id AND earlier.contact_campaign_id = moved.campaign_id
        )::text, CAST(:plan AS jsonb), :plan_hash, 'migration', :created_by, :notes, :now, :now
    FROM unnest(CAST(:ids AS text[]), CAST(:campaign_ids AS text[])) AS moved (id, campaign_id)
    """
)

READ_VERSIONS = text(
    """
    SELECT contact_campaign_id, version, plan_hash, CASE generated_by WHEN 'migration' THEN notes END AS notes
    FROM dripiq_app.campaign_plan_versions
    WHERE tenant_id = :tenant_id AND contact_campaign_id = ANY (CAST(:ids AS text[]))
    ORDER BY contact_campaign_id, length(version), version
    """
)

READ_VERSION_PLANS = text(
    """
    SELECT DISTINCT ON (plan_hash) plan_hash, plan_json FROM dripiq_app.campaign_plan_versions
    WHERE tenant_id = :tenant_id AND contact_campaign_id = ANY (CAST(:ids AS text[])) AND plan_hash = ANY (CAST(:plan_hashes AS text[]))
    """
)

READ_LAST_MIGRATIONS = text(
    """
    SELECT DISTINCT ON (contact_campaign_id) contact_campaign_id, from_node_id, to_node_id FROM dripiq_app.campaign_transitions
    WHERE tenant_id = :tenant_id AND contact_campaign_id = ANY (CAST(:ids AS text[])) AND trigger = :trigger
    ORDER BY contact_campaign_id, seq DESC
    """
)

READ_SENT = text(
    """
    SELECT contact_campaign_id, node_id, subject, rendered_body, rendered_html, sent_at FROM dripiq_app.outbound_messages
    WHERE tenant_id = :tenant_id AND contact_campaign_id = ANY (CAST(:ids AS text[])) AND sent_at IS NOT NULL
    ORDER BY sent_at, id
    """
)

READ_RECIPIENTS = text(
    """
    SELECT campaign.id AS campaign_id, campaign.contact_id, campaign.sender_identity_id, contact.record AS contact, lead.record AS lead
    FROM dripiq_app.contact_campaigns AS campaign
    JOIN LATERAL (
        SELECT record FROM dripiq_app.tenant_contacts WHERE tenant_id = :tenant_id AND id = campaign.contact_id LIMIT 1
    ) AS contact ON true
    JOIN LATERAL (
        SELECT record FROM dripiq_app.tenant_leads WHERE tenant_id = :tenant_id AND id = campaign.lead_id LIMIT 1
    ) AS lead ON true
    WHERE campaign.tenant_id = :tenant_id AND campaign.id = ANY (CAST(:ids AS text[]))
    """
)
"""`LIMIT 1` lets the one row of a view be looked up: a join does not reach into a view that guards rows."""

OPEN = [str(status) for status in CampaignStatus if not status.is_final]


@dataclass(frozen=True, slots=True)
class Followed:
    """A plan that open campaigns of a tenant follow: how many, on which channel, and one of them."""

    plan_hash: str
    channel: str
    campaigns: int
    example: str


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a campaign's plan; `notes` is what a migration wrote, None where something else made the version."""

    version: str
    plan_hash: str
    notes: dict[str, Any] | None


def count_followed(connection: Connection, tenant_id: str) -> list[Followed]:
    """The plans that the tenant's open campaigns follow, the most followed first."""
    rows = connection.execute(COUNT_FOLLOWED, {"tenant_id": tenant_id, "statuses": OPEN})
    return [Followed(**row._mapping) for row in rows]


def page_followers(
    connection: Connection, tenant_id: str, plan_hash: str, *, after: str, limit: int | None
) -> list[str]:
    """A page of the ids of open campaigns that follow a plan, those beyond `after` ("" for the first page)."""
    parameters = {"tenant_id": tenant_id, "plan_hash": plan_hash, "statuses": OPEN, "after": after, "limit": limit}
    return list(connection.execute(PAGE_FOLLOWERS, parameters).scalars())


def read_in_hand(connection: Connection, tenant_id: str, campaign_ids: Iterable[str]) -> dict[str, str]:
    """Which of these locked campaigns have a message that a worker holds (`in_hand_over`), or of which nobody knows whether it left (`in_doubt`)."""
    rows = connection.execute(READ_IN_HAND, {"tenant_id": tenant_id, "ids": list(campaign_ids)})
    found: dict[str, str] = {}
    for row in rows:
        found[row.id] = max(row.reason, found.get(row.id, ""))
    return found


def write_plan(
    connection: Connection,
    tenant_id: str,
    campaign_ids: Sequence[str],
    plan: tuple[dict[str, Any], str, str],
    notes: dict[str, object],
    created_by: str | None,
    now: datetime,
) -> None:
    """Write that these locked campaigns follow a plan from now on, and record it as their next version.

    Args:
        plan: the document, the language's version, and the hash.
        notes: what `Version.notes` will be.
    """
    document, version, plan_hash = plan
    common = {
        "tenant_id": tenant_id,
        "plan": orjson.dumps(document).decode(),
        "plan_hash": plan_hash,
        "now": now,
    }
    ids = list(campaign_ids)
    connection.execute(UPDATE_PLANS, {**common, "plan_version": version, "ids": ids})
    connection.execute(
        INSERT_MIGRATED_VERSIONS,
        {
            **common,
            "ids": new_ids(len(ids)),
            "campaign_ids": ids,
            "created_by": created_by,
            "notes": orjson.dumps(notes).decode(),
        },
    )


def read_versions(connection: Connection, tenant_id: str, campaign_ids: Iterable[str]) -> dict[str, list[Version]]:
    """The versions of these campaigns' plans, oldest first, by campaign."""
    found: dict[str, list[Version]] = {}
    for row in connection.execute(READ_VERSIONS, {"tenant_id": tenant_id, "ids": list(campaign_ids)}):
        version = Version(row.version, row.plan_hash, _notes(row.notes))
        found.setdefault(row.contact_campaign_id, []).append(version)
    return found


def read_version_plans(
    connection: Connection, tenant_id: str, campaign_ids: Iterable[str], plan_hashes: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """The documents of these versions of these campaigns' plans, by hash."""
    parameters = {"tenant_id": tenant_id, "ids": list(campaign_ids), "plan_hashes": sorted(set(plan_hashes))}
    return {row.plan_hash: row.plan_json for row in connection.execute(READ_VERSION_PLANS, parameters)}


def read_last_migrations(
    connection: Connection, tenant_id: str, campaign_ids: Iterable[str]
) -> dict[str, tuple[str, str]]:
    """From where to where each campaign's latest change of plan took it."""
    parameters = {"tenant_id": tenant_id, "ids": list(campaign_ids), "trigger": MIGRATED}
    rows = connection.execute(READ_LAST_MIGRATIONS, parameters)
    return {row.contact_campaign_id: (row.from_node_id, row.to_node_id) for row in rows}


def read_sent(connection: Connection, tenant_id: str, campaign_ids: Iterable[str]) -> Sequence[Any]:
    """What was sent in these campaigns, the earliest first."""
    return connection.execute(READ_SENT, {"tenant_id": tenant_id, "ids": list(campaign_ids)}).all()


def read_recipients(connection: Connection, tenant_id: str, campaign_ids: Iterable[str]) -> Sequence[Any]:
    """The contact and the lead of each of these campaigns, as whole records, and the campaign's own sender."""
    return connection.execute(READ_RECIPIENTS, {"tenant_id": tenant_id, "ids": list(campaign_ids)}).all()


def _notes(text: str | None) -> dict[str, Any] | None:
    """What a migration wrote; a host may have written something else under its name."""
    try:
        found = orjson.loads(text or "")
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("from"), str) else None
