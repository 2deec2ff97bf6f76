"""Who was sent a text message to this number, and which was the last?

A text that comes in names no message: only the pair of numbers. A contact's numbers are in `contact_channels`; what it was sent, under its campaign.
"""

from collections.abc import Iterable

from sqlalchemy import Connection, text

FIND_LAST_SENT = text(
    """
    SELECT DISTINCT ON (known.value) known.value AS address, message.id
    FROM dripiq_app.contact_channels AS known
    JOIN dripiq_app.contact_campaigns AS campaign
        ON campaign.tenant_id = :tenant_id AND campaign.contact_id = known.contact_id AND campaign.channel = :channel
    JOIN dripiq_app.outbound_messages AS message
        ON message.tenant_id = :tenant_id AND message.contact_campaign_id = campaign.id AND message.to_address = known.value
    WHERE known.tenant_id = :tenant_id AND known.channel = :channel AND known.value = ANY (CAST(:addresses AS text[]))
        AND message.status NOT IN ('queued', 'skipped', 'failed')
    ORDER BY known.value, message.created_at DESC, message.id
    """
)
"""One that may have left counts too: who answers it has got it."""

FIND_TENANTS_BY_WRITER = text(
    """
    SELECT known.tenant_id
    FROM dripiq_app.contact_channels AS known
    JOIN dripiq_app.contact_campaigns AS campaign
        ON campaign.tenant_id = known.tenant_id AND campaign.contact_id = known.contact_id AND campaign.channel = known.channel
    JOIN dripiq_app.outbound_messages AS message
        ON message.tenant_id = known.tenant_id AND message.contact_campaign_id = campaign.id AND message.to_address = known.value
    WHERE known.channel = :channel AND known.value = :address AND message.status NOT IN ('queued', 'skipped', 'failed')
    GROUP BY known.tenant_id
    ORDER BY max(message.created_at) DESC, known.tenant_id
    """
)
"""Finds out whose a text is: it names two numbers, and no tenant."""


def find_last_sent(connection: Connection, tenant_id: str, channel: str, addresses: Iterable[str]) -> dict[str, str]:
    """The id of the last message that each of these addresses was sent, where it was sent any."""
    wanted = sorted(set(addresses))
    if not wanted:
        return {}
    rows = connection.execute(FIND_LAST_SENT, {"tenant_id": tenant_id, "channel": str(channel), "addresses": wanted})
    return {row.address: row.id for row in rows}


def find_tenants_by_writer(connection: Connection, channel: str, address: str) -> list[str]:
    """The tenants that have sent something to this address, who did last first."""
    return list(connection.execute(FIND_TENANTS_BY_WRITER, {"channel": str(channel), "address": address}).scalars())
