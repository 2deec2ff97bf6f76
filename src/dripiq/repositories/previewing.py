"""What has to be known of a page of contacts, to say what they would get?"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text

from dripiq.domain.states import Channel

READ_PEOPLE = text(
    """
    SELECT contact.id, contact.record AS contact, lead.record AS lead, primary_channel.value AS channel_address, campaign.id AS campaign_id,
        campaign.status
    FROM dripiq_app.tenant_contacts AS contact
    LEFT JOIN LATERAL (
        SELECT record FROM dripiq_app.tenant_leads WHERE tenant_id = :tenant_id AND id = contact.lead_id LIMIT 1
    ) AS lead ON true
    LEFT JOIN dripiq_app.contact_channels AS primary_channel
        ON primary_channel.tenant_id = :tenant_id AND primary_channel.contact_id = contact.id
        AND primary_channel.channel = :channel AND primary_channel.is_primary
    LEFT JOIN dripiq_app.contact_campaigns AS campaign
        ON campaign.tenant_id = :tenant_id AND campaign.contact_id = contact.id AND campaign.channel = :channel
    WHERE contact.tenant_id = :tenant_id AND contact.id = ANY (CAST(:contact_ids AS text[]))
    ORDER BY contact.id
    """
)


def read_people(connection: Connection, tenant_id: str, channel: Channel, contact_ids: Sequence[str]) -> dict[str, Any]:
    """Contacts with their leads, their address on the channel, and the campaign that they have there; by id."""
    wanted = {"tenant_id": tenant_id, "channel": channel, "contact_ids": list(contact_ids)}
    return {row.id: row for row in connection.execute(READ_PEOPLE, wanted)}
