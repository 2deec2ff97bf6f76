"""How do hundreds of contacts get a campaign in one statement, and who has one already?"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, text

from dripiq.domain.rotation import Chosen
from dripiq.domain.states import CampaignStatus, Channel, PlanOrigin
from dripiq.schema.ids import new_ids

LOCK_ENROLLED = text(
    """
    SELECT id, contact_id, status FROM dripiq_app.contact_campaigns
    WHERE tenant_id = :tenant_id AND channel = :channel AND contact_id = ANY (CAST(:contact_ids AS text[]))
    ORDER BY id
    FOR NO KEY UPDATE
    """
)
"""Campaigns are locked in the order of their ids, as everywhere."""

INSERT_DRAFTS = text(
    """
    INSERT INTO dripiq_app.contact_campaigns (
        tenant_id, id, lead_id, contact_id, channel, status, plan_json, plan_version, plan_hash, sender_identity_id, sender_choice,
        created_at, updated_at
    )
    SELECT :tenant_id, wanted.id, contact.lead_id, contact.id, :channel, 'draft', CAST(:plan AS jsonb), :plan_version, :plan_hash, sender.id,
        CASE WHEN sender.id IS NOT NULL THEN wanted.choice END, :now, :now
    FROM unnest(CAST(:ids AS text[]), CAST(:contact_ids AS text[]), CAST(:sender_ids AS text[]), CAST(:choices AS text[]))
        AS wanted (id, contact_id, sender_id, choice)
    JOIN dripiq_app.tenant_contacts AS contact
        ON contact.tenant_id = :tenant_id AND contact.id = wanted.contact_id AND contact.id = ANY (CAST(:contact_ids AS text[]))
    LEFT JOIN dripiq_app.email_sender_identities AS sender ON sender.tenant_id = :tenant_id AND sender.id = wanted.sender_id
    ORDER BY contact.id
    ON CONFLICT (tenant_id, contact_id, channel) DO NOTHING
    RETURNING id, contact_id
    """
)
"""A contact of another tenant joins nothing. The ids are named twice, for no join reaches into a view that guards rows, and a list of ids does.

Whom another transaction gives a campaign meanwhile is left to it: updating that row would lock it in the order of the contacts, against those who hold
rows in the order of the campaigns.
"""

RESTART_CAMPAIGNS = text(
    """
    UPDATE dripiq_app.contact_campaigns AS campaign
    SET updated_at = :now, status = 'draft', lead_id = contact.lead_id, plan_json = CAST(:plan AS jsonb), plan_version = :plan_version, plan_hash = :plan_hash,
        sender_identity_id = sender.id, sender_choice = CASE WHEN sender.id IS NOT NULL THEN wanted.choice END,
        current_node_id = NULL, visits = '{}', node_entered_at = NULL, started_at = NULL, completed_at = NULL, last_error = NULL
    FROM unnest(CAST(:ids AS text[]), CAST(:sender_ids AS text[]), CAST(:choices AS text[])) AS wanted (id, sender_id, choice)
    LEFT JOIN dripiq_app.email_sender_identities AS sender ON sender.tenant_id = :tenant_id AND sender.id = wanted.sender_id,
        dripiq_app.tenant_contacts AS contact
    WHERE campaign.tenant_id = :tenant_id AND campaign.id = wanted.id AND contact.tenant_id = :tenant_id
        AND contact.id = campaign.contact_id AND contact.id = ANY (CAST(:contact_ids AS text[]))
    RETURNING campaign.id, campaign.contact_id
    """
)
"""Campaigns in a final state start anew; their visits and transitions go on counting."""

READ_ENROLLABLE = text(
    """
    SELECT contact.id FROM dripiq_app.tenant_contacts AS contact
    WHERE contact.tenant_id = :tenant_id AND contact.id = ANY (CAST(:contact_ids AS text[]))
    """
)

INSERT_VERSIONS = text(
    """
    INSERT INTO dripiq_app.campaign_plan_versions (
        tenant_id, id, contact_campaign_id, version, plan_json, plan_hash, generated_by, created_by, created_at, updated_at
    )
    SELECT :tenant_id, enrolled.id, enrolled.campaign_id, (
            SELECT count(*) + 1 FROM dripiq_app.campaign_plan_versions AS earlier
            WHERE earlier.tenant_id = :tenant_id AND earlier.contact_campaign_id = enrolled.campaign_id
        )::text, CAST(:plan AS jsonb), :plan_hash, :generated_by, :created_by, :now, :now
    FROM unnest(CAST(:ids AS text[]), CAST(:campaign_ids AS text[])) AS enrolled (id, campaign_id)
    """
)

READ_CONTACTS = text(
    """
    SELECT contact.id FROM dripiq_app.tenant_contacts AS contact
    WHERE contact.tenant_id = :tenant_id AND contact.id > :after
    ORDER BY contact.id
    LIMIT :limit
    """
)

READ_RECORDS = text(
    """
    SELECT contact.id, contact.record AS contact, lead.record AS lead
    FROM dripiq_app.tenant_contacts AS contact
    JOIN LATERAL (
        SELECT record FROM dripiq_app.tenant_leads WHERE tenant_id = :tenant_id AND id = contact.lead_id LIMIT 1
    ) AS lead ON true
    WHERE contact.tenant_id = :tenant_id AND contact.id = ANY (CAST(:contact_ids AS text[]))
    ORDER BY contact.id
    """
)


def read_records(connection: Connection, tenant_id: str, contact_ids: Sequence[str]) -> Sequence[Any]:
    """These contacts of the tenant (id, contact, lead) as templates see them: whole rows, in the order of their ids."""
    return connection.execute(READ_RECORDS, {"tenant_id": tenant_id, "contact_ids": list(contact_ids)}).all()


def lock_enrolled(
    connection: Connection, tenant_id: str, channel: Channel, contact_ids: Sequence[str]
) -> dict[str, tuple[str, CampaignStatus]]:
    """Lock the campaigns that contacts have on a channel: each one's id and status, by contact id."""
    rows = connection.execute(
        LOCK_ENROLLED, {"tenant_id": tenant_id, "channel": channel, "contact_ids": list(contact_ids)}
    )
    return {row.contact_id: (row.id, CampaignStatus(row.status)) for row in rows}


def insert_drafts(
    connection: Connection,
    tenant_id: str,
    channel: Channel,
    contact_ids: Sequence[str],
    plan: tuple[dict[str, Any], str, str],
    senders: Mapping[str, Chosen],
    now: datetime,
) -> dict[str, str]:
    """Give contacts a campaign as a draft; those who have got one meanwhile are left out.

    Args:
        contact_ids: contacts without a campaign on this channel, in the order of their ids.
        plan: the document, the language's version, and the hash.
        senders: by contact id; the campaign of a contact that is not there has no sender of its own.

    Returns:
        The campaign of each contact that got one, by contact id.
    """
    ids = {
        "tenant_id": tenant_id,
        "channel": channel,
        "contact_ids": list(contact_ids),
        "ids": new_ids(len(contact_ids)),
    }
    rows = connection.execute(INSERT_DRAFTS, ids | _draft(plan, contact_ids, senders, now))
    return {row.contact_id: row.id for row in rows}


def restart_campaigns(
    connection: Connection,
    tenant_id: str,
    campaigns: Mapping[str, str],
    plan: tuple[dict[str, Any], str, str],
    senders: Mapping[str, Chosen],
    now: datetime,
) -> dict[str, str]:
    """Make drafts, with another plan, of campaigns in a final state (by contact id; locked): those whose contact is still there."""
    ids = {"tenant_id": tenant_id, "contact_ids": list(campaigns), "ids": list(campaigns.values())}
    rows = connection.execute(RESTART_CAMPAIGNS, ids | _draft(plan, campaigns, senders, now))
    return {row.contact_id: row.id for row in rows}


def _draft(
    plan: tuple[dict[str, Any], str, str], contact_ids: Iterable[str], senders: Mapping[str, Chosen], now: datetime
) -> dict[str, Any]:
    document, version, plan_hash = plan
    chosens = [senders.get(contact_id) for contact_id in contact_ids]
    return {
        "plan": orjson.dumps(document).decode(),
        "plan_version": version,
        "plan_hash": plan_hash,
        "sender_ids": [chosen.sender_id if chosen is not None else None for chosen in chosens],
        "choices": [str(chosen.choice) if chosen is not None else None for chosen in chosens],
        "now": now,
    }


def read_enrollable(connection: Connection, tenant_id: str, contact_ids: Sequence[str]) -> set[str]:
    """Which of these contacts exist and belong to the tenant."""
    return set(
        connection.execute(READ_ENROLLABLE, {"tenant_id": tenant_id, "contact_ids": list(contact_ids)}).scalars()
    )


def insert_versions(
    connection: Connection,
    tenant_id: str,
    campaign_ids: Sequence[str],
    plan: tuple[dict[str, Any], str, str],
    generated_by: PlanOrigin,
    created_by: str | None,
    now: datetime,
) -> None:
    """Record the plan that these campaigns follow from now on, as their next version."""
    document, _, plan_hash = plan
    connection.execute(
        INSERT_VERSIONS,
        {
            "tenant_id": tenant_id,
            "ids": new_ids(len(campaign_ids)),
            "campaign_ids": list(campaign_ids),
            "plan": orjson.dumps(document).decode(),
            "plan_hash": plan_hash,
            "generated_by": generated_by,
            "created_by": created_by,
            "now": now,
        },
    )


def read_contacts(connection: Connection, tenant_id: str, *, after: str, limit: int) -> list[str]:
    """A page of the tenant's contact ids in order, those beyond `after` ("" for the first page)."""
    return list(connection.execute(READ_CONTACTS, {"tenant_id": tenant_id, "after": after, "limit": limit}).scalars())
