"""How are samples stored, so that storing them again changes nothing?"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, text

INSERT_OWNER = text(
    """
    WITH tenant AS (
        INSERT INTO dripiq_app.tenants (id, name, created_at, updated_at) VALUES (:tenant_id, :tenant_name, :now, :now)
        ON CONFLICT (id) DO NOTHING
        RETURNING id
    )
    SELECT count(*) FROM tenant
    """
)

INSERT_USER = text(
    """
    INSERT INTO dripiq_app.users (id, email, name, created_at, updated_at) VALUES (:user_id, :email, :person, :now, :now)
    ON CONFLICT (id) DO NOTHING
    """
)

INSERT_SENDER = text(
    """
    INSERT INTO dripiq_app.email_sender_identities (
        tenant_id, id, user_id, from_email, from_name, domain, validation_status, last_validated_at, is_default, created_at, updated_at
    )
    VALUES (:tenant_id, :sender_id, :user_id, :email, :person, split_part(:email, '@', 2), 'verified', :now, true, :now, :now)
    ON CONFLICT DO NOTHING
    """
)

INSERT_LEADS = text(
    """
    INSERT INTO dripiq_app.leads (id, tenant_id, name, created_at, updated_at)
    SELECT new.id, :tenant_id, new.name, :now, :now
    FROM unnest(CAST(:ids AS text[]), CAST(:names AS text[])) AS new (id, name)
    ON CONFLICT (id) DO NOTHING
    RETURNING id
    """
)

INSERT_CONTACTS = text(
    """
    INSERT INTO dripiq_app.lead_point_of_contacts (id, tenant_id, lead_id, external_ref, name, email, timezone, created_at, updated_at)
    SELECT new.id, :tenant_id, new.lead_id, new.external_ref, new.name, new.email, new.timezone, :now, :now
    FROM unnest(
        CAST(:ids AS text[]), CAST(:lead_ids AS text[]), CAST(:refs AS text[]), CAST(:names AS text[]), CAST(:emails AS text[]), CAST(:zones AS text[])
    ) AS new (id, lead_id, external_ref, name, email, timezone)
    ON CONFLICT DO NOTHING
    RETURNING id
    """
)

Contact = tuple[str, str, str, str, str, str]
"""(id, lead_id, external_ref, name, email, timezone)."""


def insert_sample_owner(
    connection: Connection, tenant: tuple[str, str], user: tuple[str, str, str], sender_id: str, now: datetime
) -> int:
    """Make a tenant (id, name), its user (id, e-mail, name) and their verified sender, where they are missing; 1 where the tenant was."""
    values = {
        "tenant_id": tenant[0],
        "tenant_name": tenant[1],
        "user_id": user[0],
        "email": user[1],
        "person": user[2],
        "sender_id": sender_id,
        "now": now,
    }
    made: int = connection.execute(INSERT_OWNER, values).scalar_one()
    connection.execute(INSERT_USER, values)
    connection.execute(INSERT_SENDER, values)
    return made


def insert_sample_leads(connection: Connection, tenant_id: str, names: Mapping[str, str], now: datetime) -> int:
    """Make leads, as names by id, where they are missing; how many were."""
    values = {"tenant_id": tenant_id, "ids": [*names], "names": [*names.values()], "now": now}
    return len(connection.execute(INSERT_LEADS, values).all())


def insert_sample_contacts(
    connection: Connection, tenant_id: str, contacts: Sequence[Contact], now: datetime
) -> list[str]:
    """Make contacts, where they are missing; the ids of those that were."""
    ids, leads, refs, names, emails, zones = (list(column) for column in zip(*contacts, strict=True))
    values = {
        "tenant_id": tenant_id,
        "now": now,
        "ids": ids,
        "lead_ids": leads,
        "refs": refs,
        "names": names,
        "emails": emails,
        "zones": zones,
    }
    return list(connection.execute(INSERT_CONTACTS, values).scalars())
