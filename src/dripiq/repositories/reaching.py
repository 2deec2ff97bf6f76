"""Which campaigns write to an address?

A campaign writes to its contact's primary address of its channel; on e-mail, where there is none, to the contact's own. dripiq's own contacts are found by an
index; an application's are all looked through, once for however many addresses, for no index of its table leads there.
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, text

from dripiq.repositories.registration import read_own_host_tables

FIND_PREFERRED = text(
    """
    SELECT contact_id FROM dripiq_app.contact_channels
    WHERE tenant_id = :tenant_id AND channel = :channel AND is_primary AND value = ANY (CAST(:addresses AS text[]))
    """
)

FIND_PREFERRED_AT_DOMAINS = text(
    """
    SELECT contact_id FROM dripiq_app.contact_channels
    WHERE tenant_id = :tenant_id AND channel = :channel AND is_primary AND split_part(value, '@', 2) = ANY (CAST(:domains AS text[]))
    """
)
"""A domain leads no index: all of the tenant's addresses are looked through."""

FIND_OWNERS = text(
    """
    SELECT contact.id, contact.email
    FROM (SELECT tenant_id, id, lower(record ->> 'email') AS email FROM dripiq_app.tenant_contacts) AS contact
    WHERE contact.tenant_id = :tenant_id
        AND (contact.email = ANY (CAST(:addresses AS text[])) OR split_part(contact.email, '@', 2) = ANY (CAST(:domains AS text[])))
    """
)

FIND_STORED_OWNERS = text(
    """
    SELECT contact.id, contact.email FROM dripiq_app.tenant_contacts AS contact
    WHERE contact.tenant_id = :tenant_id AND contact.email = ANY (CAST(:addresses AS text[]))
    """
)
"""Where the contacts are dripiq's own: imported, their addresses are in stored form. One written by hand in other letters meets the gates."""

READ_OPEN = text(
    """
    SELECT campaign.id, campaign.contact_id, preferred.value AS address
    FROM dripiq_app.contact_campaigns AS campaign
    LEFT JOIN dripiq_app.contact_channels AS preferred
        ON preferred.tenant_id = :tenant_id AND preferred.contact_id = campaign.contact_id AND preferred.channel = :channel AND preferred.is_primary
    WHERE campaign.tenant_id = :tenant_id AND campaign.contact_id = ANY (CAST(:contact_ids AS text[])) AND campaign.channel = :channel
        AND campaign.status IN ('draft', 'active', 'paused')
    ORDER BY campaign.id
    """
)


def find_reaching(
    connection: Connection, tenant_id: str, channel: str, addresses: Iterable[str] = (), domains: Iterable[str] = ()
) -> dict[str, str]:
    """The open campaigns that write to one of these addresses, or to an address of one of these domains: the address by the campaign's id.

    Args:
        addresses, domains: stored forms (`addresses.normalise_email`), lower-case.
    """
    wanted = {"addresses": sorted(set(addresses)), "domains": sorted(set(domains))}
    if not any(wanted.values()):
        return {}
    asked = {"tenant_id": tenant_id, "channel": str(channel)}
    people = set(connection.execute(FIND_PREFERRED, {**asked, "addresses": wanted["addresses"]}).scalars())
    if wanted["domains"]:
        at_domains = {**asked, "domains": wanted["domains"]}
        people.update(connection.execute(FIND_PREFERRED_AT_DOMAINS, at_domains).scalars())
    owned = find_owners(connection, tenant_id, **wanted) if channel == "email" else {}
    if not people and not owned:
        return {}
    rows = connection.execute(READ_OPEN, {**asked, "contact_ids": sorted(people.union(owned))})
    # A primary address may have gone since: then its campaign writes to the contact's own, which is none of these unless it was found.
    reached = (
        (row.id, row.address or owned.get(row.contact_id), row.address is None or row.contact_id in people)
        for row in rows
    )
    return {campaign_id: address for campaign_id, address, reaches in reached if reaches and address is not None}


def find_owners(
    connection: Connection, tenant_id: str, addresses: Sequence[str], domains: Sequence[str] = ()
) -> dict[str, str]:
    """The contacts whose own e-mail address is one of these, or at one of these domains: the address by the contact's id."""
    indexed = not domains and "lead_point_of_contacts" in read_own_host_tables(connection)
    wanted = {"tenant_id": tenant_id, "addresses": list(addresses), "domains": list(domains)}
    rows = connection.execute(FIND_STORED_OWNERS if indexed else FIND_OWNERS, wanted)
    return {row.id: row.email for row in rows}
