"""How do the people of a file become a tenant's contacts?

In the caller's transaction: all of them, or none. Who is known already (by address or external reference) is passed over and reported, or given the
file's values. A new contact's company is the tenant's lead of that name, in any case, made where there is none; a row without one gets a lead of its
own, without a name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from dripiq.domain.contact_file import ContactRow, Duplicate
from dripiq.domain.errors import ConflictError
from dripiq.repositories.contact_import import (
    NewContact,
    insert_contacts,
    insert_leads,
    lock_imports,
    name_leads,
    read_known,
    read_leads,
    update_contacts,
)
from dripiq.repositories.registration import read_own_host_tables
from dripiq.schema.ids import new_ids

BATCH = 1_000
"""Rows in one statement."""


@dataclass(frozen=True, slots=True)
class Import:
    """What came of an import: how many contacts and leads were made, which rows named somebody known, and how many of these were changed."""

    imported: int
    leads_made: int
    duplicates: tuple[Duplicate, ...]
    updated: int = 0


def import_contacts(
    connection: Connection,
    tenant_id: str,
    rows: Sequence[ContactRow],
    *,
    now: datetime,
    update: bool = False,
    advance: Callable[[int], object] = lambda _: None,
) -> Import:
    """Make contacts of a tenant.

    Args:
        connection: in the caller's transaction; nothing is committed here.
        rows: no two with the same e-mail or external_ref (`contact_file.read_contact_file` sees to it).
        now: the engine's time (aware, UTC).
        update: give who is known the values of their row, where it has any; they are no duplicates then.
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
    fresh, known = _parted(connection, tenant_id, rows)
    updated = _update(connection, tenant_id, known, now) if update else 0
    duplicates = () if update else tuple(Duplicate(row.line, row.email, by, None) for row, by, _ in known)
    advance(len(known))
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
    return Import(len(fresh), made, duplicates, updated)


def _parted(
    connection: Connection, tenant_id: str, rows: Sequence[ContactRow]
) -> tuple[list[ContactRow], list[tuple[ContactRow, str, Any]]]:
    """The rows of nobody known, and those of somebody known with the field that says so and the contact."""
    refs = [row.external_ref for row in rows if row.external_ref]
    stored = read_known(connection, tenant_id, [row.email for row in rows], refs)
    by_email = {each.email: each for each in stored if each.email}
    by_ref = {each.external_ref: each for each in stored if each.external_ref}
    fresh: list[ContactRow] = []
    known: list[tuple[ContactRow, str, Any]] = []
    for row in rows:
        if row.email in by_email:
            known.append((row, "email", by_email[row.email]))
        elif row.external_ref in by_ref:
            known.append((row, "external_ref", by_ref[row.external_ref]))
        else:
            fresh.append(row)
    return fresh, known


def _update(connection: Connection, tenant_id: str, known: Sequence[tuple[ContactRow, str, Any]], now: datetime) -> int:
    """How many contacts changed, or the lead of which was named; of two rows on one contact the first holds."""
    rows = {contact.id: (row, contact.lead_id) for row, _, contact in reversed(known)}
    changed: set[str] = set()
    for start in range(0, len(rows), BATCH):
        batch = dict(list(rows.items())[start : start + BATCH])
        values = [(id, row.name or None, row.timezone) for id, (row, _) in batch.items()]
        changed |= update_contacts(connection, tenant_id, values, now)
        named = name_leads(
            connection, tenant_id, {lead_id: row.company for row, lead_id in batch.values() if row.company}, now
        )
        changed |= {id for id, (_, lead_id) in batch.items() if lead_id in named}
    return len(changed)


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
