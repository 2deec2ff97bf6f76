"""How do millions of rows get into the tables, and what can be picked out of them to ask with?

COPY, a table at a time. The key checks behind a row keep the plan that they first made in a session: one made while the referred table was empty or
unknown reads it whole for every row, ever after. So parents are loaded and analysed first, and their children over a new connection.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from psycopg import sql
from sqlalchemy import Connection, text

from dripiq.schema import SCHEMA

COUNT_ANYTHING = text(
    """
    SELECT (SELECT count(*) FROM (SELECT FROM dripiq_app.contact_campaigns LIMIT 1) AS campaign)
        + (SELECT count(*) FROM (SELECT FROM dripiq_app.tenants LIMIT 1) AS tenant)
    """
)


def is_empty(connection: Connection) -> bool:
    """Whether nobody's campaigns or tenants are here."""
    found: int = connection.execute(COUNT_ANYTHING).scalar_one()
    return found == 0


def copy_rows(connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> int:
    """COPY rows into a table of `dripiq_app`, in the caller's transaction; how many.

    Args:
        rows: values in the order of `columns`; JSON as text.
    """
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(SCHEMA, table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    count = 0
    with _cursor(connection) as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
            count += 1
    return count


def vacuum_analyze(connection: Connection, tables: Iterable[str]) -> None:
    """Make the statistics and visibility of tables known to the planner; the connection commits each statement by itself."""
    for table in tables:
        with _cursor(connection) as cursor:
            cursor.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(SCHEMA, table)))


def _cursor(connection: Connection) -> Any:
    driver_connection = connection.connection.driver_connection
    assert driver_connection is not None
    return driver_connection.cursor()
