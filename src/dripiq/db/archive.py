"""How do the campaign tables step aside, rows and all, and come back?

Set aside, they lie in a schema of their own (`dripiq_archive`), each partition too, and nothing of them hangs on the host's tables any more: keys to these
and views over them are gone, so that the host's people can be deleted and its tables changed. What has to be done for the tables to come back is written
down as SQL at the same moment, in `dripiq_archive.way_back`: the steps are those of that database, whatever later versions declare.

- Setting aside is one transaction.
- Coming back is three steps, each as often as it takes: the tables move back and get their keys, NOT VALID (one transaction); rows whose host parent was
  deleted meanwhile are moved to `dripiq_archive.orphans`, with the rows that hang on them, and the revision is stamped (one transaction); then each key is
  validated. A step that is done is struck off in its own transaction; so after an interruption the next upgrade goes on where it stopped.
- A reference that would have become null by the parent's deletion becomes null.
"""

from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

from sqlalchemy import Connection, CursorResult, Row, text

from dripiq.schema.base import SCHEMA
from dripiq.schema.hosts import Lead, LeadPointOfContact, Tenant, User
from dripiq.schema.security import BOOKKEEPING, ROLES, TENANT_CONTACTS, TENANT_LEADS, protected_tables

ARCHIVE = "dripiq_archive"
WAY_BACK = f"{ARCHIVE}.way_back"
ORPHANS = f"{ARCHIVE}.orphans"

_HOSTS = [host.__tablename__ for host in (Tenant, User, Lead, LeadPointOfContact)]
_VIEWS = [TENANT_CONTACTS.name, TENANT_LEADS.name]
_LOCKED_FIRST = ("contact_campaigns", "scheduled_actions", "outbound_messages")
"""The order in which the application takes its locks."""

# The first expression undoes what the second makes again; names are qualified, for the search path is empty.
READ_POLICIES = text("""
    SELECT format('DROP POLICY %I ON %s', polname, polrelid::regclass),
        format('CREATE POLICY %I ON %s', polname, polrelid::regclass) || CASE WHEN polpermissive THEN '' ELSE ' AS RESTRICTIVE' END
        || (SELECT ' TO ' || string_agg(member::regrole::text, ', ') FROM unnest(polroles) AS member)
        || coalesce(' USING (' || pg_get_expr(polqual, polrelid) || ')', '')
        || coalesce(' WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')', '')
    FROM pg_policy
    WHERE oid IN (
        SELECT objid FROM pg_depend JOIN pg_class ON pg_class.oid = refobjid
        WHERE classid = 'pg_policy'::regclass AND refclassid = 'pg_class'::regclass
          AND relnamespace = CAST(:schema AS regnamespace) AND relname = ANY (CAST(:views AS text[]))
    )
    ORDER BY polrelid::regclass::text, polname
""")
READ_VIEWS = text("""
    SELECT format('DROP VIEW %s', oid::regclass),
        format('CREATE VIEW %s', oid::regclass) || coalesce(' WITH (' || array_to_string(reloptions, ', ') || ')', '')
        || ' AS ' || rtrim(pg_get_viewdef(oid), ';')
    FROM pg_class
    WHERE relnamespace = CAST(:schema AS regnamespace) AND relkind = 'v' AND relname = ANY (CAST(:views AS text[]))
    ORDER BY relname
""")
READ_RIGHTS = text("""
    SELECT format('REVOKE ALL ON %s FROM %s', kept.oid::regclass, grantee::regrole),
        format('GRANT %s ON %s TO %s', string_agg(privilege_type, ', '), kept.oid::regclass, grantee::regrole)
    FROM pg_class AS kept, aclexplode(relacl), pg_roles AS role
    WHERE relnamespace = CAST(:schema AS regnamespace) AND role.oid = grantee AND rolname = ANY (CAST(:roles AS text[]))
      AND relname = ANY (CAST(:kept AS text[]))
    GROUP BY kept.oid, grantee
    UNION ALL
    SELECT format('REVOKE USAGE ON SCHEMA %I FROM %s', nspname, grantee::regrole),
        format('GRANT USAGE ON SCHEMA %I TO %s', nspname, grantee::regrole)
    FROM pg_namespace, aclexplode(nspacl), pg_roles AS role
    WHERE pg_namespace.oid = CAST(:schema AS regnamespace) AND role.oid = grantee AND rolname = ANY (CAST(:roles AS text[]))
      AND privilege_type = 'USAGE'
    ORDER BY 1
""")
READ_KEYS = text("""
    SELECT child.relname AS child, quote_ident(conname) AS name, pg_get_constraintdef(pg_constraint.oid) AS definition, child.relkind = 'p' AS partitioned
    FROM pg_constraint JOIN pg_class AS child ON child.oid = conrelid
    WHERE contype = 'f' AND conparentid = 0 AND child.relnamespace = CAST(:schema AS regnamespace) AND child.relname = ANY (CAST(:tables AS text[]))
      AND confrelid IN (SELECT oid FROM pg_class WHERE relnamespace = CAST(:schema AS regnamespace) AND relname = ANY (CAST(:hosts AS text[])))
    ORDER BY child.relname, conname
""")
READ_TABLES = text("""
    SELECT relname FROM pg_class
    WHERE relnamespace = CAST(:schema AS regnamespace) AND relname = ANY (CAST(:tables AS text[])) AND relkind IN ('r', 'p')
    ORDER BY relname
""")
READ_PARTITIONS = text("""
    SELECT parent.relname AS parent, child.relname AS name
    FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid JOIN pg_class AS parent ON parent.oid = inhparent
    WHERE parent.relnamespace = CAST(:schema AS regnamespace) AND parent.relname = ANY (CAST(:tables AS text[])) AND parent.relkind = 'p'
    ORDER BY parent.relname, child.relname
""")
READ_REFERENCES = text("""
    SELECT DISTINCT coalesce(parent.relname, child.relname) AS child, referred.relname AS referred, confdeltype::text AS on_delete,
        (SELECT array_agg(attname::text ORDER BY place) FROM unnest(conkey) WITH ORDINALITY AS part (number, place)
         JOIN pg_attribute ON attrelid = conrelid AND attnum = number) AS columns,
        (SELECT array_agg(attname::text ORDER BY place) FROM unnest(confkey) WITH ORDINALITY AS part (number, place)
         JOIN pg_attribute ON attrelid = confrelid AND attnum = number) AS referred_columns
    FROM pg_constraint
    JOIN pg_class AS child ON child.oid = conrelid
    LEFT JOIN pg_inherits ON inhrelid = child.oid
    LEFT JOIN pg_class AS parent ON parent.oid = inhparent
    JOIN pg_class AS referred ON referred.oid = confrelid AND NOT referred.relispartition
    WHERE contype = 'f' AND child.relnamespace = CAST(:schema AS regnamespace)
      AND coalesce(parent.relname, child.relname) = ANY (CAST(:tables AS text[]))
    ORDER BY 1, 2, 4
""")
READ_READABLE = text("""
    SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = :archive AND relname IN ('way_back', 'orphans')
      AND has_schema_privilege(pg_namespace.oid, 'USAGE') AND has_table_privilege(pg_class.oid, 'SELECT')
""")
ADD_STEP = text(
    f"INSERT INTO {WAY_BACK} (position, step, statement, revision) VALUES (:position, :step, :statement, :revision)"  # noqa: S608
)


@dataclass(frozen=True, slots=True)
class Archived:
    """What lies in the archive: the revision whose tables wait there, None where none do; rows that nothing could be found for, by table."""

    revision: str | None
    orphans: dict[str, int]


def read_archive(connection: Connection) -> Archived:
    """Look what lies in the archive; nothing is changed."""
    there = set(connection.execute(READ_READABLE, {"archive": ARCHIVE}).scalars())
    revision, orphans = None, {}
    if "way_back" in there:
        revision = connection.exec_driver_sql(f"SELECT min(revision) FROM {WAY_BACK}").scalar_one()  # noqa: S608
    if "orphans" in there:
        count = f"SELECT table_name, count(*) FROM {ORPHANS} GROUP BY 1 ORDER BY 1"  # noqa: S608
        orphans = {name: rows for name, rows in connection.exec_driver_sql(count)}  # noqa: C416
    return Archived(revision, orphans)


def set_aside(connection: Connection, *, revision: str, baseline: str, version_table: str) -> dict[str, int]:
    """Move the campaign tables into the archive and stamp the baseline, in the caller's transaction, as the owner.

    Args:
        revision: at which the database is.
        baseline: the revision without campaign tables.
        version_table: in `dripiq_app`, where the revision is written down.

    Returns:
        The rows moved, by table.
    """
    tables = list(connection.execute(READ_TABLES, {"schema": SCHEMA, "tables": protected_tables()}).scalars())
    locked = [*_LOCKED_FIRST, *(name for name in tables if name not in _LOCKED_FIRST), *_HOSTS]
    _run(connection, f"LOCK TABLE {', '.join(f'{SCHEMA}.{name}' for name in locked)} IN ACCESS EXCLUSIVE MODE")
    counts = {name: _run(connection, f"SELECT count(*) FROM {SCHEMA}.{name}").scalar_one() for name in tables}  # noqa: S608
    _run(connection, "SET LOCAL search_path = pg_catalog")
    undone, steps = _plan(connection, tables)
    _run(connection, f"CREATE SCHEMA IF NOT EXISTS {ARCHIVE}")
    _run(connection, f"CREATE TABLE {WAY_BACK} (position int PRIMARY KEY, step text, statement text, revision text)")
    _run(
        connection,
        f"CREATE TABLE IF NOT EXISTS {ORPHANS} (table_name text, record jsonb, set_aside_at timestamptz DEFAULT now())",
    )
    for statement in undone:
        _run(connection, statement)
    steps.append(("stamp", f"UPDATE {SCHEMA}.{version_table} SET version_num = '{revision}'"))  # noqa: S608
    for position, (step, statement) in enumerate(steps):
        made = {"position": position, "step": step, "statement": statement, "revision": revision}
        connection.execute(ADD_STEP, made)
    _run(connection, f"UPDATE {SCHEMA}.{version_table} SET version_num = '{baseline}'")  # noqa: S608
    return counts


def bring_back(connection: Connection, *, lock_timeout: str) -> None:
    """Do what is left of the way back; each step in a transaction of its own, on a connection with none open, as the owner.

    Raises:
        sqlalchemy.exc.OperationalError: a lock could not be had in time; calling it again goes on from there.
    """
    with connection.begin():
        _patience(connection, lock_timeout)
        for position, statement in _steps(connection, "return"):
            _done(connection, position, statement)
    with connection.begin():
        _patience(connection, lock_timeout)
        for position, statement in _steps(connection, "stamp"):
            _set_orphans_aside(connection)
            _done(connection, position, statement)
    with connection.begin():
        checks = _steps(connection, "validate")
    for position, statement in checks:
        with connection.begin():
            _patience(connection, lock_timeout)
            _done(connection, position, statement)
    with connection.begin():
        _run(connection, f"DROP TABLE {WAY_BACK}")


def _plan(connection: Connection, tables: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """The statements that set aside, and the steps (name, statement) of the way back."""
    here = {"schema": SCHEMA, "tables": tables, "hosts": _HOSTS, "views": _VIEWS, "roles": list(ROLES)}
    partitions: dict[str, list[str]] = {}
    for parent, name in connection.execute(READ_PARTITIONS, here):
        partitions.setdefault(parent, []).append(name)
    moved = [*tables, *(name for names in partitions.values() for name in names)]
    keys = connection.execute(READ_KEYS, here).all()
    own_hosts = list(_run(connection, f"SELECT table_name FROM {SCHEMA}.{BOOKKEEPING[1]}").scalars())  # noqa: S608
    policies, views, rights = (
        [(row[0], row[1]) for row in connection.execute(read, here | {"kept": [*own_hosts, *BOOKKEEPING, *_VIEWS]})]
        for read in (READ_POLICIES, READ_VIEWS, READ_RIGHTS)
    )
    undone = [statement for statement, _ in (*policies, *rights, *views)]
    undone += [f"ALTER TABLE {SCHEMA}.{key.child} DROP CONSTRAINT {key.name}" for key in keys]
    undone += [f"ALTER TABLE {SCHEMA}.{name} SET SCHEMA {ARCHIVE}" for name in moved]
    back = [f"ALTER TABLE {ARCHIVE}.{name} SET SCHEMA {SCHEMA}" for name in moved]
    checks = []
    for key in keys:
        # A partitioned table takes no key that is not valid (before PostgreSQL 18): its partitions get theirs, and then it takes these over.
        for holder in partitions[key.child] if key.partitioned else [key.child]:
            back.append(f"ALTER TABLE {SCHEMA}.{holder} ADD CONSTRAINT {key.name} {key.definition} NOT VALID")
            checks.append(f"ALTER TABLE IF EXISTS {SCHEMA}.{holder} VALIDATE CONSTRAINT {key.name}")
        if key.partitioned:
            checks.append(f"ALTER TABLE {SCHEMA}.{key.child} ADD CONSTRAINT {key.name} {key.definition}")
    back += [statement for _, statement in (*views, *policies, *rights)]
    return undone, [*(("return", statement) for statement in back), *(("validate", statement) for statement in checks)]


def _set_orphans_aside(connection: Connection) -> None:
    references = connection.execute(READ_REFERENCES, {"schema": SCHEMA, "tables": protected_tables()}).all()
    graph: dict[str, set[str]] = {}
    for reference in references:
        graph.setdefault(reference.child, set()).update({reference.referred} - set(_HOSTS))
    order = list(TopologicalSorter(graph).static_order())
    for name in order:
        own = [reference for reference in references if reference.child == name]
        lost = [_lost(reference) for reference in own if reference.on_delete == "c"]
        _run(
            connection,
            f"INSERT INTO {ORPHANS} (table_name, record) SELECT '{name}', to_jsonb(child) FROM {SCHEMA}.{name} AS child "  # noqa: S608
            f"WHERE {' OR '.join(lost)}",
        )
        for reference in own:
            if reference.on_delete == "n" and reference.referred in _HOSTS:
                (column,) = reference.columns
                _run(connection, f"UPDATE {SCHEMA}.{name} AS child SET {column} = NULL WHERE {_lost(reference)}")  # noqa: S608
    for name in reversed(order):
        _run(
            connection,
            f"DELETE FROM {SCHEMA}.{name} AS child USING {ORPHANS} AS orphan WHERE orphan.table_name = '{name}' "  # noqa: S608
            "AND orphan.record ->> 'tenant_id' = child.tenant_id AND orphan.record ->> 'id' = child.id",
        )


def _lost(reference: Row[Any]) -> str:
    """The condition that a row (`child`) lost what it refers to: it is not among the host's any more, or it is an orphan itself."""
    pairs = list(zip(reference.columns, reference.referred_columns, strict=True))
    filled = " AND ".join(f"child.{column} IS NOT NULL" for column, _ in pairs)
    referred: str = reference.referred
    if referred in _HOSTS:
        same = " AND ".join(f"host.{theirs} = child.{column}" for column, theirs in pairs)
        return f"({filled} AND NOT EXISTS (SELECT FROM {SCHEMA}.{referred} AS host WHERE {same}))"
    same = " AND ".join(f"orphan.record ->> '{theirs}' = child.{column}" for column, theirs in pairs)
    return f"({filled} AND EXISTS (SELECT FROM {ORPHANS} AS orphan WHERE orphan.table_name = '{referred}' AND {same}))"


def _steps(connection: Connection, step: str) -> list[tuple[int, str]]:
    read = text(f"SELECT position, statement FROM {WAY_BACK} WHERE step = :step ORDER BY position")  # noqa: S608
    return [(position, statement) for position, statement in connection.execute(read, {"step": step})]


def _done(connection: Connection, position: int, statement: str) -> None:
    _run(connection, statement)
    _run(connection, f"DELETE FROM {WAY_BACK} WHERE position = {position}")  # noqa: S608


def _patience(connection: Connection, lock_timeout: str) -> None:
    _run(connection, f"SET LOCAL lock_timeout = '{lock_timeout}'")
    _run(connection, "SET LOCAL statement_timeout = 0")


def _run(connection: Connection, statement: str) -> CursorResult[Any]:
    return connection.exec_driver_sql(statement.replace("%", "%%"))
