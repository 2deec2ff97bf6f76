"""What has to be known to explain a contact's campaigns? Reads only, without locks: one contact, by index."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from dripiq.domain.moves import State
from dripiq.repositories import campaign_reading, standing
from dripiq.repositories.registration import read_own_host_tables

FIND_CONTACT_TENANTS = text(
    """
    SELECT contact.tenant_id, contact.id FROM dripiq_app.tenant_contacts AS contact
    WHERE contact.id = :given
    """
)
"""Finds out whose a contact is: a person names it by its id alone."""

FIND_ADDRESS_TENANTS = text(
    """
    SELECT contact.tenant_id, contact.id FROM dripiq_app.tenant_contacts AS contact
    WHERE lower(contact.record ->> 'email') = :given
    ORDER BY contact.tenant_id, contact.id
    LIMIT 20
    """
)
"""Finds out whose contact has this address, in all tenants: a walk through all contacts, for no index of a host's table leads there."""

FIND_STORED_ADDRESS = text(
    """
    SELECT contact.tenant_id, contact.id FROM dripiq_app.tenant_contacts AS contact
    WHERE contact.email = :email AND (CAST(:tenant_id AS text) IS NULL OR contact.tenant_id = :tenant_id)
    ORDER BY contact.tenant_id, contact.id
    LIMIT 20
    """
)
"""The same where the contacts are dripiq's own, of one tenant or of all: a plain column is compared ten times as fast as a record is taken apart."""

FIND_CAMPAIGN_CONTACT = text(
    "SELECT contact_id FROM dripiq_app.contact_campaigns WHERE tenant_id = :tenant_id AND id = :id"
)

READ_PERSON = text(
    """
    SELECT contact.id, contact.record FROM dripiq_app.tenant_contacts AS contact
    WHERE contact.tenant_id = :tenant_id AND contact.id = :id
    LIMIT 1
    """
)

READ_SWITCH = text(
    """
    SELECT sending_paused_at, sending_paused_reason, in_doubt_policy, in_doubt_after
    FROM dripiq_app.tenant_settings WHERE tenant_id = :tenant_id
    """
)

MAY_READ_TENANTS = text("SELECT has_table_privilege('dripiq_app.tenants', 'SELECT')")
"""A tenant's own role may not: its policies do not reach the host's table."""

READ_TENANT_RECORD = text(
    "SELECT to_jsonb(tenant) AS record FROM dripiq_app.tenants AS tenant WHERE tenant.id = :tenant_id"
)

READ_CAMPAIGNS = text(
    """
    SELECT campaign.id, campaign.contact_id, campaign.channel, campaign.status, campaign.current_node_id, campaign.visit, campaign.visits,
        campaign.node_entered_at, campaign.transition_seq, campaign.plan_hash, campaign.started_at, campaign.completed_at,
        campaign.sender_identity_id, campaign.sender_choice, campaign.last_error, primary_channel.value AS channel_address, lead.record AS lead
    FROM dripiq_app.contact_campaigns AS campaign
    LEFT JOIN LATERAL (
        SELECT record FROM dripiq_app.tenant_leads WHERE tenant_id = :tenant_id AND id = campaign.lead_id LIMIT 1
    ) AS lead ON true
    LEFT JOIN dripiq_app.contact_channels AS primary_channel
        ON primary_channel.tenant_id = :tenant_id AND primary_channel.contact_id = campaign.contact_id
        AND primary_channel.channel = campaign.channel AND primary_channel.is_primary
    WHERE campaign.tenant_id = :tenant_id AND campaign.contact_id = :contact_id
    ORDER BY campaign.channel
    """
)

READ_ACTIONS = text(
    """
    SELECT contact_campaign_id, node_id, visit, coalesce(payload ->> 'timer', 'send') AS name, run_at, status, reason, last_error, attempts
    FROM dripiq_app.scheduled_actions
    WHERE tenant_id = :tenant_id AND contact_campaign_id = ANY (CAST(:ids AS text[])) AND status IN ('pending', 'queued', 'held')
    ORDER BY id
    """
)


def find_owner(connection: Connection, given: str, tenant_id: str | None = None) -> list[tuple[str, str]]:
    """The contacts of that id, or of that address, of one tenant or of all: (tenant id, contact id), at most twenty.

    Args:
        given: an address in stored form, or an id. Contacts whose address is written so go before those that have it in other letters.
    """
    if "@" not in given:
        found = connection.execute(FIND_CONTACT_TENANTS, {"given": given}).all()
        return [(row.tenant_id, row.id) for row in found if tenant_id in (None, row.tenant_id)]
    if "lead_point_of_contacts" in read_own_host_tables(connection):
        stored = connection.execute(FIND_STORED_ADDRESS, {"email": given, "tenant_id": tenant_id}).all()
        if stored:
            return [(row.tenant_id, row.id) for row in stored]
    if tenant_id is not None:
        return [(tenant_id, id) for id in campaign_reading.find_contacts(connection, tenant_id, [given]).get(given, [])]
    return [(row.tenant_id, row.id) for row in connection.execute(FIND_ADDRESS_TENANTS, {"given": given})]


def find_campaign_contact(connection: Connection, tenant_id: str, campaign_id: str) -> str | None:
    """Whose campaign that is; None where the tenant has none of that id."""
    found: str | None = connection.execute(FIND_CAMPAIGN_CONTACT, {"tenant_id": tenant_id, "id": campaign_id}).scalar()
    return found


def read_person(connection: Connection, tenant_id: str, contact_id: str) -> dict[str, Any] | None:
    """A contact's record; None where the tenant has none of that id."""
    row = connection.execute(READ_PERSON, {"tenant_id": tenant_id, "id": contact_id}).first()
    return dict(row.record) if row is not None else None


def read_switch(connection: Connection, tenant_id: str) -> Any:
    """The tenant's kill switch, and what becomes of its messages in doubt; None where nothing was ever set."""
    return connection.execute(READ_SWITCH, {"tenant_id": tenant_id}).first()


def read_tenant_record(connection: Connection, tenant_id: str) -> dict[str, Any] | None:
    """The tenant's record, as templates see it; None for who may not read it."""
    if not connection.execute(MAY_READ_TENANTS).scalar():
        return None
    found: dict[str, Any] | None = connection.execute(READ_TENANT_RECORD, {"tenant_id": tenant_id}).scalar()
    return found


def read_campaigns(connection: Connection, tenant_id: str, contact_id: str) -> Sequence[Any]:
    """A contact's campaigns, one for each channel."""
    return connection.execute(READ_CAMPAIGNS, {"tenant_id": tenant_id, "contact_id": contact_id}).all()


def read_states(
    connection: Connection, tenant_id: str, campaigns: Sequence[Any]
) -> tuple[dict[str, State], Mapping[str, Sequence[Any]]]:
    """Where campaigns stand, as the machine sees it, and their open actions; both by campaign id."""
    ids = [campaign.id for campaign in campaigns]
    actions: dict[str, list[Any]] = {id: [] for id in ids}
    for action in connection.execute(READ_ACTIONS, {"tenant_id": tenant_id, "ids": ids}):
        actions[action.contact_campaign_id].append(action)
    started: Iterable[datetime | None] = [campaign.started_at for campaign in campaigns]
    seqs = [campaign.transition_seq for campaign in campaigns]
    last = connection.execute(
        standing.READ_LAST_SENT, {"tenant_id": tenant_id, "ids": ids, "seqs": seqs, "started_ats": list(started)}
    )
    sent = {row.id: row for row in last}
    return {
        campaign.id: standing.state_of(campaign, actions[campaign.id], sent[campaign.id]) for campaign in campaigns
    }, actions


def read_path(connection: Connection, tenant_id: str, campaign_id: str) -> tuple[Sequence[Any], Sequence[Any]]:
    """A campaign's transitions in their order, and its messages."""
    of_campaign = {"tenant_id": tenant_id, "id": campaign_id}
    transitions = connection.execute(campaign_reading.READ_TRANSITIONS, of_campaign).mappings().all()
    return transitions, connection.execute(campaign_reading.READ_MESSAGES, of_campaign).mappings().all()
