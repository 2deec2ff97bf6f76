"""Whom does a tenant know already, and how do a thousand people come in with one statement?

Only for host tables that are dripiq's own (`registration.read_own_host_tables`): over these the views have the columns and can be written, by a
tenant's role too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

LOCK_IMPORTS = text("SELECT pg_advisory_xact_lock(hashtextextended('dripiq.import:' || :tenant_id, 0))")

READ_KNOWN = text(
    """
    SELECT contact.id, contact.lead_id, lower(contact.email) AS email, contact.external_ref
    FROM dripiq_app.tenant_contacts AS contact
    WHERE contact.tenant_id = :tenant_id
      AND (lower(contact.email) = ANY (CAST(:emails AS text[])) OR contact.external_ref = ANY (CAST(:refs AS text[])))
    """
)

READ_LEADS = text(
    """
    SELECT DISTINCT ON (wanted.name) wanted.name, lead.id
    FROM unnest(CAST(:names AS text[])) AS wanted (name)
    JOIN dripiq_app.tenant_leads AS lead ON lead.tenant_id = :tenant_id AND lower(lead.name) = lower(wanted.name)
    ORDER BY wanted.name, lead.created_at, lead.id
    """
)

INSERT_LEADS = text(
    """
    INSERT INTO dripiq_app.tenant_leads (id, tenant_id, name, created_at, updated_at)
    SELECT new.id, :tenant_id, new.name, :now, :now
    FROM unnest(CAST(:ids AS text[]), CAST(:names AS text[])) AS new (id, name)
    """
)

INSERT_CONTACTS = text(
    """
    INSERT INTO dripiq_app.tenant_contacts (id, tenant_id, lead_id, external_ref, name, email, timezone, created_at, updated_at)
    SELECT new.id, :tenant_id, new.lead_id, new.external_ref, new.name, new.email, new.timezone, :now, :now
    FROM unnest(
        CAST(:ids AS text[]), CAST(:lead_ids AS text[]), CAST(:refs AS text[]), CAST(:names AS text[]), CAST(:emails AS text[]), CAST(:zones AS text[])
    ) AS new (id, lead_id, external_ref, name, email, timezone)
    """
)

UPDATE_CONTACTS = text(
    """
    UPDATE dripiq_app.tenant_contacts AS contact
    SET name = coalesce(new.name, contact.name), timezone = coalesce(new.timezone, contact.timezone), updated_at = :now
    FROM unnest(CAST(:ids AS text[]), CAST(:names AS text[]), CAST(:zones AS text[])) AS new (id, name, timezone)
    WHERE contact.tenant_id = :tenant_id AND contact.id = new.id
      AND (new.name <> coalesce(contact.name, '') OR new.timezone <> coalesce(contact.timezone, ''))
    RETURNING contact.id
    """
)

NAME_LEADS = text(
    """
    UPDATE dripiq_app.tenant_leads AS lead SET name = new.name, updated_at = :now
    FROM unnest(CAST(:ids AS text[]), CAST(:names AS text[])) AS new (id, name)
    WHERE lead.tenant_id = :tenant_id AND lead.id = new.id AND coalesce(lead.name, '') = ''
    RETURNING lead.id
    """
)
"""A lead that has a name keeps it: it is others' too."""


@dataclass(frozen=True, slots=True)
class NewContact:
    """One person to insert."""

    id: str
    lead_id: str
    email: str
    name: str
    timezone: str | None
    external_ref: str | None


def lock_imports(connection: Connection, tenant_id: str) -> None:
    """One import at a time for a tenant, until this transaction ends: what is looked up stays true."""
    connection.execute(LOCK_IMPORTS, {"tenant_id": tenant_id})


def read_known(connection: Connection, tenant_id: str, emails: Sequence[str], refs: Sequence[str]) -> Sequence[Any]:
    """The tenant's contacts with one of these addresses (stored form) or external references: id, lead_id, email, external_ref."""
    return connection.execute(READ_KNOWN, {"tenant_id": tenant_id, "emails": list(emails), "refs": list(refs)}).all()


def update_contacts(
    connection: Connection, tenant_id: str, values: Sequence[tuple[str, str | None, str | None]], now: datetime
) -> set[str]:
    """Give contacts (id, name, time zone; None leaves what is there) their values; the ids of those that changed."""
    ids, names, zones = zip(*values, strict=True) if values else ((), (), ())
    parameters = {"tenant_id": tenant_id, "ids": list(ids), "names": list(names), "zones": list(zones), "now": now}
    return set(connection.execute(UPDATE_CONTACTS, parameters).scalars())


def name_leads(connection: Connection, tenant_id: str, names: Mapping[str, str], now: datetime) -> set[str]:
    """Name leads (by id) that have no name; the ids of those that had none."""
    parameters = {"tenant_id": tenant_id, "ids": list(names), "names": list(names.values()), "now": now}
    return set(connection.execute(NAME_LEADS, parameters).scalars())


def read_leads(connection: Connection, tenant_id: str, names: Sequence[str]) -> dict[str, str]:
    """The oldest lead of each of these names, in any case, by the name as given."""
    rows = connection.execute(READ_LEADS, {"tenant_id": tenant_id, "names": list(names)})
    return {row.name: row.id for row in rows}


def insert_leads(connection: Connection, tenant_id: str, leads: Sequence[tuple[str, str]], now: datetime) -> None:
    """Insert leads, as (id, name)."""
    ids, names = [lead_id for lead_id, _ in leads], [name for _, name in leads]
    connection.execute(INSERT_LEADS, {"tenant_id": tenant_id, "ids": ids, "names": names, "now": now})


def insert_contacts(connection: Connection, tenant_id: str, contacts: Sequence[NewContact], now: datetime) -> None:
    """Insert contacts of the tenant's leads."""
    connection.execute(
        INSERT_CONTACTS,
        {
            "tenant_id": tenant_id,
            "now": now,
            "ids": [c.id for c in contacts],
            "lead_ids": [c.lead_id for c in contacts],
            "refs": [c.external_ref for c in contacts],
            "names": [c.name for c in contacts],
            "emails": [c.email for c in contacts],
            "zones": [c.timezone for c in contacts],
        },
    )
