"""Where does a run start from nothing, without harm to what an earlier one has left?

Each has a database of its own on the server. It stays, to be looked at, until the next run; one that somebody is connected to stays longer.
"""

from datetime import UTC, datetime

import psycopg
from psycopg import sql
from sqlalchemy import make_url

_UNUSED = """
    SELECT datname FROM pg_database AS database
    WHERE datname LIKE 'demo\\_%' AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = database.datname)
"""


def make_fresh_database(server_url: str) -> str:
    """Make it. Returns the SQLAlchemy URL of a new, empty database on the server; those of earlier runs that nobody uses are dropped.

    Args:
        server_url: a SQLAlchemy URL whose user may create databases.
    """
    url = make_url(server_url)
    name = f"demo_{datetime.now(UTC):%Y%m%d_%H%M%S_%f}"
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        for (unused,) in connection.execute(_UNUSED).fetchall():
            try:
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(unused)))
            except psycopg.errors.ObjectInUse:  # somebody has just come
                continue
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return url.set(database=name).render_as_string(hide_password=False)
