"""How do many rows get into a table in one statement?

As one array per column, unnested: `INSERT … SELECT … FROM unnest(…)`. It has no limit on parameters, its text depends only on which columns are
given, and it can hold conditions on what a row points to. A column that some rows leave out gets its default there.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Table, bindparam, column, func, literal, literal_column, select
from sqlalchemy.dialects.postgresql import ARRAY, Insert, insert

from dripiq.repositories.host_references import belong_to_tenant


def insert_rows(
    table: Table, tenant_id: str, rows: Sequence[Mapping[str, object]], *, unless_there: Sequence[str] = ()
) -> Insert:
    """The statement that inserts the rows whose leads, contacts and users are the tenant's.

    Args:
        table: the table.
        tenant_id: whose rows they are.
        rows: by column name; NOT NULL columns without a default are in each.
        unless_there: columns of a unique key: rows that meet theirs are passed over.
    """
    given = [c for c in table.columns if any(c.name in row for row in rows)]
    arrays = [
        bindparam(None, [row.get(c.name) for row in rows], ARRAY(c.type, dimensions=1), unique=True) for c in given
    ]
    new = func.unnest(*arrays).table_valued(*(column(c.name, c.type) for c in given), name="new").render_derived()
    values: dict[str, ColumnElement[Any]] = {c.name: new.c[c.name] for c in given}
    selected = [_or_default(table.c[name], value) for name, value in values.items()]
    query = select(literal(tenant_id), *selected).where(*belong_to_tenant(table, tenant_id, values))
    statement = insert(table).from_select(["tenant_id", *values], query, include_defaults=False)
    if unless_there:
        statement = statement.on_conflict_do_nothing(index_elements=list(unless_there))
    return statement


def _or_default(target: Any, value: ColumnElement[Any]) -> ColumnElement[Any]:
    """The value, or the column's default where a row has none (columns with a default are never null)."""
    if target.server_default is None:
        return value
    default = target.server_default.arg
    if isinstance(default, str):
        default = literal_column("'" + default.replace("'", "''") + "'")
    return func.coalesce(value, default, type_=target.type)
