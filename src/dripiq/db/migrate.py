"""How does a database get to a revision?

One migrator at a time: the second waits, with no transaction open, by polling an advisory lock (a blocking lock would deadlock with CREATE INDEX
CONCURRENTLY). What can go wrong on the way is told as a `DatabaseError` with a sentence that says what to do.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from psycopg import errors as pg
from sqlalchemy import Connection, func, inspect, select
from sqlalchemy.exc import DBAPIError

from dripiq.db.archive import bring_back, read_archive, set_aside
from dripiq.db.partitions import ensure_partitions
from dripiq.db.security import complete
from dripiq.db.session import connect
from dripiq.db.standing import (
    VERSION_TABLE,
    check_known,
    check_server,
    current_revision,
    head_of,
    opened,
    scripts_config,
    scripts_here,
)
from dripiq.domain.errors import DatabaseError, InputError
from dripiq.schema import SCHEMA, MessageEvent

logger = logging.getLogger(__name__)

MONTHS_AHEAD = 3
HOST_BASELINE = "0024"
MIGRATOR_LOCK = 0x64726970_6971  # "dripiq"; advisory locks are per database
LOCK_POLL_SECONDS = 0.25
TABLE_LOCK_TIMEOUT = "5s"
LOCK_PATIENCE_SECONDS = 300


def upgrade(url: str, revision: str = "head") -> None:
    """Bring a database up to a revision, and make the partitions of the coming months; at the revision already, it changes nothing more than to
    complete what protects tenants, where the roles for it were made since. Tables that a downgrade archived come back first, at their own revision.

    Args:
        url: a direct URL, not a transaction pooler's.
        revision: `head`, or the id of a revision (`0025`).

    Raises:
        DatabaseError: unreachable, too old, newer than the code, no host that can be adopted, a lock that could not be had in time.
        InputError: `unknown_revision`; `before_the_archive` when tables of a later revision wait in the archive.
    """
    with migrating(url) as connection:
        with told_clearly():
            _bring_archive_back(connection, revision)
            command.upgrade(_config(connection, going_up=True), revision)
        connection.rollback()
        if inspect(connection).has_table(MessageEvent.__tablename__, schema=SCHEMA):
            now = connection.execute(select(func.now())).scalar_one()
            connection.rollback()
            with told_clearly():
                _make_months(connection, now)
        if current_revision(connection) == head_of(scripts_here()):
            with told_clearly():
                complete(connection)
        connection.commit()


def _make_months(connection: Connection, now: datetime) -> None:
    try:
        ensure_partitions(connection, months_ahead=MONTHS_AHEAD, now=now)
    except DatabaseError as error:  # the default partition serves until somebody finds a quiet hour
        logger.warning("%s", error.message)


def downgrade(url: str, revision: str, *, discard: bool = False) -> None:
    """Take a database back to a revision, all of it or nothing.

    Args:
        url: a direct URL, not a transaction pooler's.
        revision: the id of a revision (`0024`, the host baseline), or `base`.
        discard: drop the tables' rows with them.

    Raises:
        DatabaseError: `rows_would_be_lost` with their counts, when tables hold rows and `discard` is not given; else as for `upgrade`.
        InputError: `unknown_revision`.
    """
    with migrating(url) as connection, told_clearly():
        _check_archive_is_back(connection)
        command.downgrade(_config(connection, going_up=False, discard=discard), revision)


def archive(url: str) -> dict[str, int]:
    """Take a database back to the host baseline, and move the campaign tables and their rows to a schema of their own; the next `upgrade` brings them back.

    Args:
        url: a direct URL, not a transaction pooler's.

    Returns:
        The rows that were moved, by table.

    Raises:
        DatabaseError: as for `downgrade`; `archive_unfinished`. Nothing was changed.
        InputError: `nothing_to_archive`.
    """
    with migrating(url) as connection, told_clearly():
        _check_archive_is_back(connection)
        current = current_revision(connection)
        connection.rollback()
        if current is None or current == HOST_BASELINE:
            raise InputError("There are no campaign tables in this database to archive.", code="nothing_to_archive")
        with connection.begin():
            # A count of many rows takes what it takes.
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{TABLE_LOCK_TIMEOUT}'")
            return set_aside(connection, revision=current, baseline=HOST_BASELINE, version_table=VERSION_TABLE)


def _bring_archive_back(connection: Connection, target: str) -> None:
    archived, current, scripts = read_archive(connection).revision, current_revision(connection), scripts_here()
    connection.rollback()
    if archived is None:
        return
    check_known(archived, scripts)
    passed = [step.revision for step in scripts.iterate_revisions(target, "base")]
    if archived in passed:
        if current is None:
            command.upgrade(_config(connection, going_up=True), HOST_BASELINE)
            connection.rollback()
        bring_back(connection, lock_timeout=TABLE_LOCK_TIMEOUT)
    elif current is not None and passed and passed[0] != current:
        raise InputError(
            f"The archive holds tables of revision {archived}: go to that revision or to head.",
            code="before_the_archive",
            facts={"archived": archived},
        )


def _check_archive_is_back(connection: Connection) -> None:
    archived, current = read_archive(connection).revision, current_revision(connection)
    connection.rollback()
    if archived is not None and current != HOST_BASELINE:
        raise DatabaseError(
            "Tables are on their way back from the archive, and were interrupted: run `dripiq db upgrade` to its end first.",
            code="archive_unfinished",
        )


@contextmanager
def migrating(url: str) -> Iterator[Connection]:
    """A connection for the one migrator, on a server and at a revision that this code knows; no transaction is open on it."""
    with opened(url) as engine, connect(engine) as lock_connection:
        check_server(lock_connection)
        lock_connection.rollback()
        with (
            _only_migrator(lock_connection.execution_options(isolation_level="AUTOCOMMIT")),
            connect(engine) as connection,
        ):
            check_known(current_revision(connection), scripts_here())
            connection.rollback()
            yield connection


@contextmanager
def _only_migrator(connection: Connection) -> Iterator[None]:
    deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
    while not connection.execute(select(func.pg_try_advisory_lock(MIGRATOR_LOCK))).scalar_one():
        if time.monotonic() > deadline:
            raise DatabaseError(
                f"Another migration has been running for {LOCK_PATIENCE_SECONDS} seconds. Nothing was changed; run this again when it has ended.",
                code="migration_running",
            )
        time.sleep(LOCK_POLL_SECONDS)
    try:
        yield
    finally:
        connection.execute(select(func.pg_advisory_unlock(MIGRATOR_LOCK)))


@contextmanager
def told_clearly() -> Iterator[None]:
    """Tell what the database refused as a `DatabaseError` with a sentence: `lock_timeout`, `not_the_owner`; or InputError `unknown_revision`."""
    try:
        yield
    except CommandError as error:
        raise InputError(
            f"There is no such revision to go to: {error}. `dripiq db status` shows where the database stands.",
            code="unknown_revision",
        ) from error
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        if isinstance(error.orig, pg.LockNotAvailable):
            raise DatabaseError(
                f"A table is in use, and waiting for it would hold up the application: {reason}. This step changed nothing; run it again later.",
                code="lock_timeout",
            ) from error
        if isinstance(error.orig, pg.InsufficientPrivilege):
            raise DatabaseError(
                f"The database's user may not migrate it: {reason}. This step changed nothing; run it as the owner of {SCHEMA}.",
                code="not_the_owner",
            ) from error
        raise


def _config(connection: Connection, *, going_up: bool, discard: bool = False) -> Config:
    config = scripts_config()
    config.attributes.update(connection=connection, going_up=going_up, discard=discard, lock_timeout=TABLE_LOCK_TIMEOUT)
    return config
