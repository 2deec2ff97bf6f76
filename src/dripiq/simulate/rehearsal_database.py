"""Where does a simulation work, so that nothing of anybody's is touched?

In a database of its own on a server, which is dropped at the end. What a killed run left behind, a later one drops after a day.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import sql
from sqlalchemy import Engine, make_url

from dripiq.db.migrate import upgrade
from dripiq.db.session import make_engine
from dripiq.domain.errors import DatabaseError
from dripiq.repositories.rehearsing import drop_spare_indexes
from dripiq.schema.ids import new_id

SETTINGS = {
    "synchronous_commit": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "random_page_cost": "1.1",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_material": "off",
}
"""What a crash would lose is thrown away in any case. And the planner is told to go by keys, as it does by itself in a database that has grown: of tables
that grow from nothing within seconds it knows too little to choose."""

PREFIX = "dripiq_simulation_"
KEPT = timedelta(days=1)


@contextmanager
def temporary_database(server_url: str) -> Iterator[Engine]:
    """A migrated database that lives as long as this lasts.

    Args:
        server_url: a SQLAlchemy URL whose user may create databases; the database it names is only connected to.

    Raises:
        DatabaseError: `no_database_made`: the server cannot be reached, or refuses.
    """
    url = make_url(server_url).set(drivername="postgresql+psycopg")
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    name = f"{PREFIX}{datetime.now(UTC):%Y%m%d%H%M%S}_{new_id()[:8]}"
    try:
        with psycopg.connect(address, autocommit=True) as connection:
            _make(connection, name)
    except psycopg.Error as error:
        why = str(error).strip().splitlines()[0]
        raise DatabaseError(
            f"A simulation needs a database of its own, and cannot make one: {why}. Let the user of DRIPIQ_DATABASE_URL create databases "
            "(ALTER ROLE … CREATEDB), or leave the setting out for this command: dripiq's own PostgreSQL serves then.",
            code="no_database_made",
        ) from None
    try:
        own = url.set(database=name).render_as_string(hide_password=False)
        upgrade(own)
        database = make_engine(own)
        try:
            with database.begin() as connection:
                drop_spare_indexes(connection)
            yield database
        finally:
            database.dispose()
    finally:
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _make(connection: "psycopg.Connection[tuple[str, ...]]", name: str) -> None:
    oldest = f"{PREFIX}{datetime.now(UTC) - KEPT:%Y%m%d%H%M%S}"
    left = "SELECT datname FROM pg_database WHERE starts_with(datname, %s) AND datname < %s"
    for (old,) in connection.execute(left, (PREFIX, oldest)).fetchall():
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(old)))
    own = sql.Identifier(name)
    connection.execute(sql.SQL("CREATE DATABASE {}").format(own))
    for setting, value in SETTINGS.items():
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET {} = {}").format(own, sql.Identifier(setting), sql.Literal(value))
        )
