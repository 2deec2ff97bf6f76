"""Which tenants and users are there, and may dripiq add to the host's tables?

An adopted table is read as a whole row (`to_jsonb`): only its keys are known to exist.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from dripiq.schema.ids import new_id

READ_OWN_HOST_TABLES = text("SELECT table_name FROM dripiq_app.dripiq_host_tables")

FIND_TENANTS = text(
    """
    SELECT tenant.id, coalesce(to_jsonb(tenant) ->> 'name', tenant.id) AS name FROM dripiq_app.tenants AS tenant
    WHERE tenant.id = :given OR to_jsonb(tenant) ->> 'name' = :given
    ORDER BY tenant.id
    """
)

LIST_TENANTS = text(
    """
    SELECT tenant.id, coalesce(to_jsonb(tenant) ->> 'name', tenant.id) AS name FROM dripiq_app.tenants AS tenant
    ORDER BY name, tenant.id
    """
)

LOCK_TENANT_NAME = text("SELECT pg_advisory_xact_lock(hashtextextended('dripiq.tenant:' || :name, 0))")

INSERT_TENANT = text("INSERT INTO dripiq_app.tenants (id, name) VALUES (:id, :name)")

FIND_USERS = text(
    """
    SELECT person.id FROM dripiq_app.users AS person
    WHERE person.id = :given OR lower(to_jsonb(person) ->> 'email') = lower(:given)
    ORDER BY person.id
    """
)

INSERT_USER = text("INSERT INTO dripiq_app.users (id, email, name) VALUES (:id, :email, :name)")


@dataclass(frozen=True, slots=True)
class TenantName:
    """A tenant, as people name it; where the host gives it no name, its id stands for one."""

    id: str
    name: str


def read_own_host_tables(connection: Connection) -> frozenset[str]:
    """The host tables that dripiq made; the others are the application's, and are never written to."""
    return frozenset(connection.execute(READ_OWN_HOST_TABLES).scalars())


def find_tenants_named(connection: Connection, given: str) -> list[TenantName]:
    """The tenants of that id or exact name."""
    return [TenantName(row.id, row.name) for row in connection.execute(FIND_TENANTS, {"given": given})]


def list_tenants(connection: Connection) -> list[TenantName]:
    """All tenants, by name."""
    return [TenantName(row.id, row.name) for row in connection.execute(LIST_TENANTS)]


def lock_tenant_name(connection: Connection, name: str) -> None:
    """Let nobody else make a tenant of that name until this transaction ends."""
    connection.execute(LOCK_TENANT_NAME, {"name": name})


def insert_tenant(connection: Connection, name: str) -> TenantName:
    """Make a tenant."""
    made = TenantName(new_id(), name)
    connection.execute(INSERT_TENANT, {"id": made.id, "name": made.name})
    return made


def find_users(connection: Connection, given: str) -> Sequence[str]:
    """The ids of the users of that id or e-mail address."""
    return connection.execute(FIND_USERS, {"given": given}).scalars().all()


def insert_user(connection: Connection, email: str, name: str) -> str:
    """Make a user; the id."""
    user_id = new_id()
    connection.execute(INSERT_USER, {"id": user_id, "email": email, "name": name})
    return user_id
