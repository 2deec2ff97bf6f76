"""May this database's own tenants, users, leads and contacts be adopted as they are?

Looked at before anything is changed. A host table that exists must have the columns that dripiq reads and a key that it can refer to;
one that does not exist is made by the host baseline, and recorded as dripiq's own. Nothing in an adopted table is ever changed.
"""

from sqlalchemy import Connection, text

from dripiq.domain.errors import DatabaseError

HOST_TABLES = ("tenants", "users", "leads", "lead_point_of_contacts")
"""In the order in which they refer to one another."""

NEEDED_COLUMNS = {
    "tenants": ("id",),
    "users": ("id",),
    "leads": ("id", "tenant_id"),
    "lead_point_of_contacts": ("id", "lead_id", "name", "email"),
}
_KEY_COLUMNS = frozenset({"id", "tenant_id", "lead_id"})
_TEXT_TYPES = frozenset({"text", "character varying"})

READ_HOST_COLUMNS = text("""
    SELECT host.relname, field.attname, format_type(field.atttypid, NULL)
    FROM pg_attribute AS field
    JOIN pg_class AS host ON host.oid = field.attrelid
    JOIN pg_namespace AS space ON space.oid = host.relnamespace
    WHERE space.nspname = 'dripiq_app' AND host.relname = ANY(:tables)
      AND host.relkind IN ('r', 'p') AND field.attnum > 0 AND NOT field.attisdropped
""")

READ_HOST_KEYS = text("""
    SELECT host.relname
    FROM pg_index AS key
    JOIN pg_class AS host ON host.oid = key.indrelid
    JOIN pg_namespace AS space ON space.oid = host.relnamespace
    JOIN pg_attribute AS field ON field.attrelid = key.indrelid AND field.attnum = key.indkey[0]
    WHERE space.nspname = 'dripiq_app' AND host.relname = ANY(:tables)
      AND key.indisunique AND key.indimmediate AND key.indpred IS NULL AND key.indnkeyatts = 1 AND field.attname = 'id'
""")


def existing_host_tables(connection: Connection) -> list[str]:
    """The host tables that the database has, in the order of `HOST_TABLES`."""
    columns_by_table = _columns_by_table(connection)
    return [table for table in HOST_TABLES if table in columns_by_table]


def check_host(connection: Connection) -> None:
    """See that every host table that exists can be adopted.

    Raises:
        DatabaseError: `host_not_adoptable`, with one sentence that names all that is missing; nothing was changed.
    """
    columns_by_table = _columns_by_table(connection)
    keyed = set(connection.execute(READ_HOST_KEYS, {"tables": list(columns_by_table)}).scalars())
    missing: list[str] = []
    for table, columns in columns_by_table.items():
        for column in NEEDED_COLUMNS[table]:
            kind = columns.get(column)
            if kind is None:
                missing.append(f"column {table}.{column}")
            elif column in _KEY_COLUMNS and kind not in _TEXT_TYPES:
                missing.append(f"type text for {table}.{column} (it is {kind})")
        if "id" in columns and table not in keyed:
            missing.append(f"a primary key {table}(id)")
    if missing:
        raise DatabaseError(
            f"The tables in dripiq_app cannot be adopted: missing {', '.join(sorted(missing))}. Nothing was changed. "
            "Add what is missing, or give dripiq a database of its own and mirror people into it.",
            code="host_not_adoptable",
            facts={"missing": sorted(missing)},
        )


def _columns_by_table(connection: Connection) -> dict[str, dict[str, str]]:
    columns_by_table: dict[str, dict[str, str]] = {}
    for table, column, kind in connection.execute(READ_HOST_COLUMNS, {"tables": list(HOST_TABLES)}):
        columns_by_table.setdefault(table, {})[column] = kind
    return columns_by_table
