"""Which message was the last that went to an address?

Asked where that is all that is known: of a text that comes in, which names two numbers, and of an event that lost the ids of its message on the way. A
contact's addresses are in `contact_channels`, and its own; what it was sent is under its campaigns. Of texts, which are few beside mails, the numbers that
they went to are indexed: who was given another number since is still heard at the old one.
"""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, text

from dripiq.domain.states import Channel
from dripiq.repositories.reaching import find_owners

FIND_KNOWN = text(
    """
    SELECT contact_id, value FROM dripiq_app.contact_channels
    WHERE tenant_id = :tenant_id AND channel = :channel AND value = ANY (CAST(:addresses AS text[]))
    """
)

FIND_LAST_SENT = text(
    """
    SELECT asked.address, asked.at, last.id
    FROM unnest(CAST(:contact_ids AS text[]), CAST(:addresses AS text[]), CAST(:ats AS timestamptz[])) AS asked (contact_id, address, at)
    CROSS JOIN LATERAL (
        SELECT message.id, coalesce(message.sent_at, message.created_at) AS left_at
        FROM dripiq_app.contact_campaigns AS campaign
        JOIN dripiq_app.outbound_messages AS message
            ON message.tenant_id = :tenant_id AND message.contact_campaign_id = campaign.id AND message.to_address = asked.address
        WHERE campaign.tenant_id = :tenant_id AND campaign.contact_id = asked.contact_id AND campaign.channel = :channel
            AND message.status NOT IN ('queued', 'skipped', 'failed') AND coalesce(message.sent_at, message.created_at) <= asked.at
        ORDER BY left_at DESC, message.id
        LIMIT 1
    ) AS last
    ORDER BY last.left_at, last.id
    """
)
"""One that may have left counts too: who answers it has got it."""

FIND_LAST_TEXT = text(
    """
    SELECT asked.address, asked.at, last.id
    FROM unnest(CAST(:addresses AS text[]), CAST(:ats AS timestamptz[])) AS asked (address, at)
    CROSS JOIN LATERAL (
        SELECT id FROM dripiq_app.outbound_messages
        WHERE tenant_id = :tenant_id AND channel = 'sms' AND to_address = asked.address
            AND status NOT IN ('queued', 'skipped', 'failed') AND coalesce(sent_at, created_at) <= asked.at
        ORDER BY coalesce(sent_at, created_at) DESC, id
        LIMIT 1
    ) AS last
    """
)
"""By the number that was written to, whatever number its contact has today."""

FIND_TENANTS_BY_WRITER = text(
    """
    SELECT tenant_id
    FROM dripiq_app.outbound_messages
    WHERE channel = 'sms' AND to_address = :address AND status NOT IN ('queued', 'skipped', 'failed')
        AND coalesce(sent_at, created_at) <= :at
    GROUP BY tenant_id
    ORDER BY max(created_at) DESC, tenant_id
    """
)
"""Finds out whose a text is: it names two numbers, and no tenant."""


def find_last_sent(
    connection: Connection, tenant_id: str, channel: Channel, asked: Iterable[tuple[str, datetime]]
) -> dict[tuple[str, datetime], str]:
    """The id of the last message that went to each of these addresses up to a time, where one did."""
    wanted = set(asked)
    addresses = sorted({address for address, _ in wanted})
    if not addresses:
        return {}
    if channel is Channel.SMS:
        texts = sorted(wanted)
        by_number = {"addresses": [number for number, _ in texts], "ats": [at for _, at in texts]}
        return {
            (row.address, row.at): row.id
            for row in connection.execute(FIND_LAST_TEXT, {"tenant_id": tenant_id, **by_number})
        }
    parameters = {"tenant_id": tenant_id, "channel": str(channel), "addresses": addresses}
    people = {(row.contact_id, row.value) for row in connection.execute(FIND_KNOWN, parameters)}
    if channel is Channel.EMAIL:
        people.update(find_owners(connection, tenant_id, addresses).items())
    times: dict[str, list[datetime]] = {}
    for address, at in wanted:
        times.setdefault(address, []).append(at)
    rows = sorted((contact_id, address, at) for contact_id, address in people for at in times[address])
    if not rows:
        return {}
    found = connection.execute(
        FIND_LAST_SENT,
        {
            "tenant_id": tenant_id,
            "channel": str(channel),
            "contact_ids": [contact_id for contact_id, _, _ in rows],
            "addresses": [address for _, address, _ in rows],
            "ats": [at for _, _, at in rows],
        },
    )
    return {(row.address, row.at): row.id for row in found}


def find_tenants_by_writer(connection: Connection, number: str, at: datetime) -> list[str]:
    """The tenants that had sent a text to this number by a time, who did last first."""
    return list(connection.execute(FIND_TENANTS_BY_WRITER, {"address": number, "at": at}).scalars())
