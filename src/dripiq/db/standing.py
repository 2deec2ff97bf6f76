"""Where does a database stand, and can this code work on it?

At the revision that the code needs, behind it, or at one that the code does not know; on a server that is new enough. Nothing is changed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect

from dripiq.db.archive import Archived, read_archive
from dripiq.db.session import connect, make_engine
from dripiq.domain.errors import DatabaseError
from dripiq.schema import SCHEMA, Base

OLDEST_SERVER = 15
VERSION_TABLE = "dripiq_alembic_version"


@dataclass(frozen=True)
class MigrationStatus:
    """Where a database stands.

    `current` is None before the first migration; `pending` lists the revisions still to run, the next first; `known` is False when the
    database is newer than this code; `tables` are those of dripiq's tables that exist (the host's included), sorted; `archived` is what a downgrade
    set aside.
    """

    current: str | None
    head: str
    pending: tuple[str, ...]
    known: bool
    server_version: str
    tables: tuple[str, ...]
    archived: Archived

    @property
    def is_current(self) -> bool:
        """Whether the code and the database fit."""
        return self.current == self.head


def status(url: str) -> MigrationStatus:
    """Look where a database stands; nothing is changed.

    Raises:
        DatabaseError: `database_unreachable`.
    """
    with opened(url) as engine, connect(engine) as connection:
        current, scripts = current_revision(connection), scripts_here()
        head = head_of(scripts)
        known = current is None or current in _revisions(scripts)
        pending = tuple(step.revision for step in scripts.iterate_revisions("head", current or "base")) if known else ()
        existing = set(inspect(connection).get_table_names(schema=SCHEMA))
        return MigrationStatus(
            current=current,
            head=head,
            pending=pending[::-1],
            known=known,
            server_version=connection.exec_driver_sql("SHOW server_version").scalar_one(),
            tables=tuple(sorted(table.name for table in Base.metadata.tables.values() if table.name in existing)),
            archived=read_archive(connection),
        )


def check_current(connection: Connection) -> None:
    """See that this code can work on this database.

    Raises:
        DatabaseError: `database_too_old` (server), `database_newer` (than the code), `database_behind`; each says what to do.
    """
    check_server(connection)
    current, scripts = current_revision(connection), scripts_here()
    check_known(current, scripts)
    head = head_of(scripts)
    if current != head:
        standing = f"at revision {current}" if current else "empty"
        raise DatabaseError(
            f"The database is {standing}, and this version of dripiq needs revision {head}: run `dripiq db upgrade`.",
            code="database_behind",
            facts={"current": current, "head": head},
        )


def check_server(connection: Connection) -> None:
    """Raises DatabaseError: `database_too_old`."""
    number = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
    if number < OLDEST_SERVER * 10_000:
        raise DatabaseError(
            f"The server is PostgreSQL {number // 10_000}; dripiq needs {OLDEST_SERVER} or newer. Upgrade it, or use another.",
            code="database_too_old",
            facts={"server_version": number // 10_000, "needed": OLDEST_SERVER},
        )


def check_known(current: str | None, scripts: ScriptDirectory) -> None:
    """Raises DatabaseError: `database_newer`."""
    if current is not None and current not in _revisions(scripts):
        raise DatabaseError(
            f"The database is at revision {current}, which this version of dripiq does not know: it is newer than the code. Upgrade dripiq.",
            code="database_newer",
            facts={"current": current, "head": head_of(scripts)},
        )


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    """A few connections to a database, closed at the end."""
    engine = make_engine(url, pool_size=2)
    try:
        yield engine
    finally:
        engine.dispose()


def scripts_config() -> Config:
    """Where Alembic finds the revisions, in an installed package too."""
    config = Config()
    config.set_main_option("script_location", "dripiq:migrations")
    config.set_main_option("path_separator", "os")
    return config


def scripts_here() -> ScriptDirectory:
    """The revisions that this code has."""
    return ScriptDirectory.from_config(scripts_config())


def _revisions(scripts: ScriptDirectory) -> set[str]:
    return {script.revision for script in scripts.walk_revisions()}


def head_of(scripts: ScriptDirectory) -> str:
    """The newest revision."""
    head = scripts.get_current_head()
    assert head is not None
    return head


def current_revision(connection: Connection) -> str | None:
    """The revision that a database is at; None before the first."""
    options = {"version_table": VERSION_TABLE, "version_table_schema": SCHEMA}
    return MigrationContext.configure(connection, opts=options).get_current_revision()
