"""Who may see and write which rows, whatever the statement says?

Two roles beside the owner. `dripiq_engine` works for all tenants; `dripiq_tenant` sees and writes the rows of the tenant that the setting
`dripiq.tenant_id` names, and nothing where it names none. Neither has a right on a partition by itself. `dripiq_tenant` has none on the host's
tables: it reads leads and contacts through two views, which say of these tables what the policies say of ours.

Everything is derived from the declared tables, so a new one cannot be forgotten here; a test compares it with what migrations made.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Table, column, table

from dripiq.schema.base import SCHEMA, Base
from dripiq.schema.campaigns import CampaignTransition, ContactCampaign
from dripiq.schema.engine import WebhookQuarantine
from dripiq.schema.hosts import Lead, LeadPointOfContact, Tenant, User
from dripiq.schema.senders import SenderAccount

ENGINE_ROLE = "dripiq_engine"
TENANT_ROLE = "dripiq_tenant"
ROLES = (ENGINE_ROLE, TENANT_ROLE)
TENANT_SETTING = "dripiq.tenant_id"

OWN_ROWS = f"tenant_id = current_setting('{TENANT_SETTING}', true)"

TENANT_LEADS = table("tenant_leads", column("tenant_id"), column("id"), schema=SCHEMA)
"""A tenant's leads: `tenant_id`, `id`, and the whole row as `record` (jsonb)."""
TENANT_CONTACTS = table("tenant_contacts", column("tenant_id"), column("id"), column("lead_id"), schema=SCHEMA)
"""A tenant's contacts: `tenant_id` (their lead's), `id`, `lead_id`, and the whole row as `record` (jsonb)."""

BOOKKEEPING = ("dripiq_alembic_version", "dripiq_host_tables")
"""What migrations remember: which revision this is, and which host tables are dripiq's own."""

_HOSTS = tuple(cast("Table", host.__table__) for host in (Tenant, User, Lead, LeadPointOfContact))
_LEADS, _CONTACTS = _HOSTS[2:]
HOST_TABLES = tuple(host.name for host in _HOSTS)
_TRANSITIONS, _QUARANTINE, _ACCOUNTS = (
    cast("Table", kept.__table__) for kept in (CampaignTransition, WebhookQuarantine, SenderAccount)
)
_CAMPAIGNS = cast("Table", ContactCampaign.__table__)

_CHANGE = ("SELECT", "INSERT", "UPDATE", "DELETE")
_APPEND = ("SELECT", "INSERT")
_READ = ("SELECT",)


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy of a table for one role; `using` None leaves what may be seen to the others."""

    table: str
    name: str
    role: str
    using: str | None
    check: str | None = None
    restrictive: bool = False

    @property
    def statement(self) -> str:
        """The SQL that makes it."""
        kind = " AS RESTRICTIVE" if self.restrictive else ""
        using = f" USING ({self.using})" if self.using else ""
        check = f" WITH CHECK ({self.check})" if self.check else ""
        return f"CREATE POLICY {self.name} ON {SCHEMA}.{self.table}{kind} TO {self.role}{using}{check}"


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """What a role may do with a table or view."""

    table: str
    role: str
    privileges: tuple[str, ...]

    @property
    def statement(self) -> str:
        """The SQL that gives it."""
        return f"GRANT {', '.join(self.privileges)} ON {SCHEMA}.{self.table} TO {self.role}"


def protected_tables() -> list[str]:
    """The tables with row-level security, sorted: all that hold rows of tenants, but for the host's."""
    return sorted(t.name for t in Base.metadata.tables.values() if t not in _HOSTS)


def declared_policies() -> list[Policy]:
    """The policies of all tables (a partition carries those of its parent)."""
    return [policy for name in protected_tables() for policy in _policies_of(Base.metadata.tables[f"{SCHEMA}.{name}"])]


def declared_grants(own_host_tables: Iterable[str]) -> list[Grant]:
    """The rights of both roles.

    Args:
        own_host_tables: the host tables that dripiq made. What the host made keeps the rights that the host gave, so that its dump stays the same.
    """
    own = set(own_host_tables)
    grants = [Grant(bookkeeping, role, _READ) for role in ROLES for bookkeeping in BOOKKEEPING]
    grants += [Grant(host.name, ENGINE_ROLE, _CHANGE) for host in _HOSTS if host.name in own]
    for view, host in ((TENANT_LEADS.name, _LEADS.name), (TENANT_CONTACTS.name, _CONTACTS.name)):
        grants += [Grant(view, role, _CHANGE if host in own else _READ) for role in ROLES]
    for name in protected_tables():
        privileges = _APPEND if name == _TRANSITIONS.name else _CHANGE
        grants.append(Grant(name, ENGINE_ROLE, privileges))
        if name != _QUARANTINE.name:
            grants.append(Grant(name, TENANT_ROLE, _READ if name == _ACCOUNTS.name else privileges))
    return grants


def _policies_of(protected: Table) -> list[Policy]:
    policies = [Policy(protected.name, "engine_rows", ENGINE_ROLE, "true")]
    if protected is _QUARANTINE:
        return policies
    policies.append(Policy(protected.name, "tenant_rows", TENANT_ROLE, OWN_ROWS))
    people = [_names_own(protected, *reference) for reference in _references_to_people(protected)]
    if people:
        policies.append(
            Policy(protected.name, "tenant_people", TENANT_ROLE, None, " AND ".join(people), restrictive=True)
        )
    return policies


def _references_to_people(protected: Table) -> list[tuple[str, str, bool]]:
    """The columns that point to a lead or contact: the column, the view it must be found in, and whether it may be null."""
    views = {_LEADS: TENANT_LEADS.name, _CONTACTS: TENANT_CONTACTS.name}
    return [
        (c.name, views[key.column.table], bool(c.nullable))
        for c in protected.columns
        for key in c.foreign_keys
        if key.column.table in views
    ]


def _names_own(protected: Table, name: str, view: str, nullable: bool) -> str:
    found = f"EXISTS (SELECT FROM {SCHEMA}.{view} AS person WHERE person.id = {protected.name}.{name})"
    return f"({protected.name}.{name} IS NULL OR {found})" if nullable else found


# The owner, and whoever else no policy binds, sees all; so does the engine's role, where there is one.
_BOUND_TO = f"""current_setting('{TENANT_SETTING}', true)
       OR NOT row_security_active('{_CAMPAIGNS.fullname}'::regclass)
       OR pg_has_role(to_regrole('{ENGINE_ROLE}'), 'USAGE')"""

_OWN_LEADS = f"""CREATE VIEW {SCHEMA}.tenant_leads WITH (security_barrier = true) AS
SELECT lead.tenant_id, lead.id, lead.name, lead.created_at, lead.updated_at, to_jsonb(lead) AS record
FROM {SCHEMA}.leads AS lead
WHERE lead.tenant_id = {_BOUND_TO}
WITH CASCADED CHECK OPTION"""  # noqa: S608

_HOSTS_LEADS = f"""CREATE VIEW {SCHEMA}.tenant_leads WITH (security_barrier = true) AS
SELECT lead.tenant_id, lead.id, to_jsonb(lead) AS record
FROM {SCHEMA}.leads AS lead
WHERE lead.tenant_id = {_BOUND_TO}"""  # noqa: S608

_OWN_CONTACTS = f"""CREATE VIEW {SCHEMA}.tenant_contacts WITH (security_barrier = true) AS
SELECT contact.tenant_id, contact.id, contact.lead_id, contact.external_ref, contact.name, contact.email, contact.timezone,
    contact.created_at, contact.updated_at, to_jsonb(contact) AS record
FROM {SCHEMA}.lead_point_of_contacts AS contact
WHERE (contact.tenant_id = {_BOUND_TO})
    AND EXISTS (SELECT FROM {SCHEMA}.leads AS lead WHERE lead.id = contact.lead_id AND lead.tenant_id = contact.tenant_id)
WITH CASCADED CHECK OPTION"""  # noqa: S608

_HOSTS_CONTACTS = f"""CREATE VIEW {SCHEMA}.tenant_contacts WITH (security_barrier = true) AS
SELECT lead.tenant_id, contact.id, contact.lead_id, to_jsonb(contact) AS record
FROM {SCHEMA}.lead_point_of_contacts AS contact
JOIN {SCHEMA}.leads AS lead ON lead.id = contact.lead_id
WHERE lead.tenant_id = {_BOUND_TO}"""  # noqa: S608


def view_statements(own_host_tables: Iterable[str]) -> list[str]:
    """The SQL that makes the two views.

    Over a host's own table a view has the keys and the row as jsonb, and is read-only: one that named columns would block the host's later
    migrations. Over dripiq's own table it has the columns too, and can be written, with a check that what is written can be seen.
    """
    own = set(own_host_tables)
    return [
        _OWN_LEADS if _LEADS.name in own else _HOSTS_LEADS,
        _OWN_CONTACTS if _CONTACTS.name in own else _HOSTS_CONTACTS,
    ]


def role_statements(own_host_tables: Iterable[str]) -> list[str]:
    """The SQL of all policies and rights; both roles exist."""
    usage = f"GRANT USAGE ON SCHEMA {SCHEMA} TO {', '.join(ROLES)}"
    policies = [policy.statement for policy in declared_policies()]
    return [usage, *policies, *(grant.statement for grant in declared_grants(own_host_tables))]
