"""How do the people of a file become a tenant's contacts?

In the caller's transaction: all of them, or none. Who is known already (by address or external reference) is passed over and reported. A row's company
is the tenant's lead of that name, in any case, made where there is none; a row without one gets a lead of its own, without a name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from dripiq.domain.contact_file import ContactRow, Duplicate
from dripiq.domain.errors import ConflictError
from dripiq.repositories.contact_import import (
    NewContact,
    insert_contacts,
    insert_leads,
    lock_imports,
    read_known,
    read_leads,
)
from dripiq.repositories.registration import read_own_host_tables
from dripiq.schema.ids import new_ids

BATCH = 1_000
"""Rows in one statement."""


@dataclass(frozen=True, slots=True)
class Import:
    """What came of an import: how many contacts and leads were made, and which rows named somebody known."""

    imported: int
    leads_made: int
    duplicates: tuple[Duplicate, ...]


def import_contacts(
    connection: Connection,
    tenant_id: str,
    rows: Sequence[ContactRow],
    *,
    now: datetime,
    advance: Callable[[int], object] = lambda _: None,
) -> Import:
    """Make contacts of a tenant.

    Args:
        connection: in the caller's transaction; nothing is committed here.
        rows: no two with the same e-mail or external_ref (`contact_file.read_contact_file` sees to it).
        now: the engine's time (aware, UTC).
        advance: is told how many more rows are done.

    Raises:
        ConflictError: `host_adopted` where the leads and contacts are the application's own.
    """
    if not {"leads", "lead_point_of_contacts"} <= read_own_host_tables(connection):
        raise ConflictError(
            "The leads and contacts in this database belong to the application, and dripiq never writes to them: add people there.",
            code="host_adopted",
        )
    lock_imports(connection, tenant_id)
    fresh, duplicates = _unknown(connection, tenant_id, rows)
    advance(len(duplicates))
    lead_ids, made = _leads(connection, tenant_id, fresh, now)
    for start in range(0, len(fresh), BATCH):
        batch = fresh[start : start + BATCH]
        insert_contacts(
            connection,
            tenant_id,
            [
                NewContact(id, lead_ids[_lead_key(row)], row.email, row.name, row.timezone, row.external_ref)
                for id, row in zip(new_ids(len(batch)), batch, strict=True)
            ],
            now,
        )
        advance(len(batch))
    return Import(len(fresh), made, tuple(duplicates))


def _unknown(
    connection: Connection, tenant_id: str, rows: Sequence[ContactRow]
) -> tuple[list[ContactRow], list[Duplicate]]:
    emails, refs = read_known(
        connection, tenant_id, [row.email for row in rows], [row.external_ref for row in rows if row.external_ref]
    )
    fresh: list[ContactRow] = []
    duplicates: list[Duplicate] = []
    for row in rows:
        if row.email in emails:
            duplicates.append(Duplicate(row.line, row.email, "email", None))
        elif row.external_ref in refs:
            duplicates.append(Duplicate(row.line, row.email, "external_ref", None))
        else:
            fresh.append(row)
    return fresh, duplicates


def _leads(
    connection: Connection, tenant_id: str, rows: Sequence[ContactRow], now: datetime
) -> tuple[dict[tuple[str, str], str], int]:
    """The lead of each row, and how many were made."""
    names = {_lead_key(row): row.company for row in reversed(rows)}  # a company is written as on its first row
    known = read_leads(connection, tenant_id, [name for name in names.values() if name])
    lead_ids = {key: known[name] for key, name in names.items() if name in known}
    missing = [key for key in names if key not in lead_ids]
    lead_ids.update(zip(missing, new_ids(len(missing)), strict=True))
    for start in range(0, len(missing), BATCH):
        batch = missing[start : start + BATCH]
        insert_leads(connection, tenant_id, [(lead_ids[key], names[key]) for key in batch], now)
    return lead_ids, len(missing)


def _lead_key(row: ContactRow) -> tuple[str, str]:
    return ("company", row.company.casefold()) if row.company else ("contact", row.email)
