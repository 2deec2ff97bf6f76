"""Do the lead and contact that a row points to belong to its tenant?

Keys to the host's tables are plain, so they can't say it; the statement that writes such a key does. A lead has its tenant; a contact has its
lead's; a user belongs to the host and may work for several tenants, so it need only exist, which its key says. Where a row names both lead and
contact, the contact is that lead's. People are looked up in the views, which a tenant's role may read.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, cast

from sqlalchemy import ColumnElement, Table, exists, or_

from dripiq.schema.hosts import Lead, LeadPointOfContact, User
from dripiq.schema.security import TENANT_CONTACTS, TENANT_LEADS

_LEADS, _CONTACTS, _USERS = (cast("Table", host.__table__) for host in (Lead, LeadPointOfContact, User))


@cache
def host_columns(table: Table) -> Mapping[str, Table]:
    """The columns of a campaign table that point to a lead, contact or user, and which."""
    pointed = {column.name: key.column.table for column in table.columns for key in column.foreign_keys}
    return {name: target for name, target in pointed.items() if target in (_LEADS, _CONTACTS, _USERS)}


def belong_to_tenant(
    table: Table, tenant_id: str, written: Mapping[str, ColumnElement[Any]]
) -> list[ColumnElement[bool]]:
    """The conditions under which the references among the written columns may be written.

    Args:
        table: the campaign table.
        tenant_id: whose row it is.
        written: by column name what is written there; the others keep what they have.
    """
    columns = host_columns(table)
    values: dict[Table, ColumnElement[Any]] = {
        target: written.get(name, table.c[name]) for name, target in columns.items()
    }
    if not {columns[name] for name in columns if name in written} & {_LEADS, _CONTACTS}:
        return []
    if _CONTACTS not in values:
        lead = exists().where(TENANT_LEADS.c.tenant_id == tenant_id, TENANT_LEADS.c.id == values[_LEADS])
        return [_null_or(values[_LEADS], lead)]
    contact = exists().where(TENANT_CONTACTS.c.tenant_id == tenant_id, TENANT_CONTACTS.c.id == values[_CONTACTS])
    if _LEADS in values:
        contact = contact.where(TENANT_CONTACTS.c.lead_id == values[_LEADS])
    return [_null_or(values[_CONTACTS], contact)]


def _null_or(value: ColumnElement[Any], condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return or_(value.is_(None), condition)
