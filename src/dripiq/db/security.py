"""Does the database keep tenants apart, and what is missing where it does not?

Migrations make roles, policies and views. Roles belong to the cluster, and where the owner of the schema may not make them (managed PostgreSQL),
an administrator does; until then work for one tenant runs with the owner's rights, and only the statements themselves keep tenants apart.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, text

from dripiq.db.partitions import protect_partitions
from dripiq.schema.base import SCHEMA
from dripiq.schema.security import (
    ENGINE_ROLE,
    HOST_TABLES,
    ROLES,
    TENANT_ROLE,
    Grant,
    Policy,
    declared_grants,
    declared_policies,
    protected_tables,
)

READ_ROLES = text("""
    SELECT rolname, pg_has_role(
        session_user, oid, CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END
    ) AS can_take FROM pg_roles WHERE rolname = ANY (CAST(:roles AS text[]))
""")

READ_GRANTEE = text("""
    SELECT quote_ident(session_user)
        || CASE WHEN current_setting('server_version_num')::int >= 160000 THEN ' WITH INHERIT FALSE, SET TRUE' ELSE '' END
""")

READ_OWN_HOST_TABLES = text("SELECT table_name FROM dripiq_app.dripiq_host_tables")

READ_OPEN_TABLES = text("""
    SELECT relname FROM pg_class
    WHERE relnamespace = CAST(:schema AS regnamespace) AND relname = ANY (CAST(:tables AS text[])) AND NOT relrowsecurity
    ORDER BY relname
""")

READ_POLICIES = text("SELECT tablename, policyname FROM pg_policies WHERE schemaname = :schema")

READ_GRANTS = text("""
    SELECT relname, role.rolname, array_agg(privilege_type::text)
    FROM pg_class, aclexplode(relacl) AS entry JOIN pg_roles AS role ON role.oid = entry.grantee
    WHERE relnamespace = CAST(:schema AS regnamespace) AND role.rolname = ANY (CAST(:roles AS text[]))
    GROUP BY relname, role.rolname
    ORDER BY relname, role.rolname
""")


@dataclass(frozen=True, slots=True)
class Protection:
    """What keeps tenants apart beside the statements themselves.

    Attributes:
        gaps: a sentence for each thing that is missing or too much; none where all is in place.
        statements: the SQL that closes them, in order, for an administrator of the server (or the owner, where it may).
    """

    gaps: tuple[str, ...]
    statements: tuple[str, ...]


def status(connection: Connection) -> Protection:
    """Look what protects a database that is at the newest revision; nothing is changed."""
    found = connection.execute(READ_ROLES, {"roles": list(ROLES)})
    taken: dict[str, bool] = {row.rolname: row.can_take for row in found}
    grantee: str = connection.execute(READ_GRANTEE).scalar_one()
    gaps, statements = [], []
    if missing := [role for role in ROLES if role not in taken]:
        gaps.append(
            f"The server has no role {' and no role '.join(missing)}: work for one tenant runs with all rights of {_user(grantee)}, and only the "
            "statements themselves keep tenants apart. Run the SQL as an administrator, then `dripiq db upgrade`, and look here again."
        )
        # The right to take a role comes after `upgrade` has given the role its own: until then, work for a tenant would be refused.
        statements += [f"CREATE ROLE {role} NOLOGIN" for role in missing]
    if TENANT_ROLE in taken and not taken[TENANT_ROLE]:
        gaps.append(
            f"{_user(grantee)} may not take the role {TENANT_ROLE}: its work for one tenant is not bound to the tenant. "
            "Run the SQL as an administrator."
        )
        statements.append(f"GRANT {TENANT_ROLE} TO {grantee}")
    if tables := list(connection.execute(READ_OPEN_TABLES, {"schema": SCHEMA, "tables": protected_tables()}).scalars()):
        gaps.append(f"Row-level security is off on {', '.join(tables)}.")
        statements += [f"ALTER TABLE {SCHEMA}.{name} ENABLE ROW LEVEL SECURITY" for name in tables]
    if not missing:
        lacking = _lacking(connection)
        if lacking:
            names = sorted({part.table for part in lacking})
            gaps.append(f"Policies or rights are missing on {', '.join(names)}: run `dripiq db upgrade`.")
            statements += [part.statement for part in lacking]
        for name, role, privileges in _too_much(connection):
            gaps.append(f"{role} has rights on {name} that lead around the wall: {', '.join(privileges)}.")
            statements.append(f"REVOKE {', '.join(privileges)} ON {SCHEMA}.{name} FROM {role}")
    return Protection(tuple(gaps), tuple(statements))


def complete(connection: Connection) -> bool:
    """Make what migrations could not, because the roles came later; whether anything was missing. In the caller's transaction, as the owner."""
    present = set(connection.execute(READ_ROLES, {"roles": list(ROLES)}).scalars())
    if present != set(ROLES):
        return False
    lacking = _lacking(connection)
    if lacking:
        connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {SCHEMA} TO {ENGINE_ROLE}, {TENANT_ROLE}")
        for part in lacking:
            connection.exec_driver_sql(part.statement)
        protect_partitions(connection)
    return bool(lacking)


def _lacking(connection: Connection) -> list[Policy | Grant]:
    """The declared policies and rights that the database lacks."""
    there = {tuple(row) for row in connection.execute(READ_POLICIES, {"schema": SCHEMA})}
    given = _grants(connection)
    policies = [policy for policy in declared_policies() if (policy.table, policy.name) not in there]
    grants = [g for g in _declared_grants(connection) if not set(g.privileges) <= given.get((g.table, g.role), set())]
    return [*policies, *grants]


def _too_much(connection: Connection) -> Iterator[tuple[str, str, list[str]]]:
    """What a role may do that is not declared, by table and role. The host may let the engine's role read its own tables."""
    declared = {(grant.table, grant.role): set(grant.privileges) for grant in _declared_grants(connection)}
    for (name, role), privileges in _grants(connection).items():
        beyond = privileges - declared.get((name, role), set())
        if beyond and (role == TENANT_ROLE or name not in HOST_TABLES):
            yield name, role, sorted(beyond)


def _declared_grants(connection: Connection) -> list[Grant]:
    return declared_grants(connection.execute(READ_OWN_HOST_TABLES).scalars())


def _grants(connection: Connection) -> dict[tuple[str, str], set[str]]:
    rows = connection.execute(READ_GRANTS, {"schema": SCHEMA, "roles": list(ROLES)})
    return {(table, role): set(privileges) for table, role, privileges in rows}


def _user(grantee: str) -> str:
    return grantee.removesuffix(" WITH INHERIT FALSE, SET TRUE")
