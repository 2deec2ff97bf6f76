"""How is an index built on a table that may hold millions of rows, while others write to it?

CREATE INDEX CONCURRENTLY, outside of a transaction. Interrupted, it leaves an INVALID index behind, which every writer maintains and no query uses: it is
dropped and built again by the next run, so a revision that builds an index does nothing else. A partitioned table has none concurrently: its parent gets the
index alone (invalid, in a moment), each partition its own, concurrently, and then the parent's takes these over; once all are there, it is valid.
"""

import hashlib
from contextlib import suppress
from dataclasses import dataclass

from alembic import context, op
from sqlalchemy import Connection, text

from dripiq.db.migrate import TABLE_LOCK_TIMEOUT, migrating, told_clearly
from dripiq.db.standing import check_current
from dripiq.domain.errors import DatabaseError, InputError

LONGEST_NAME = 63


@dataclass(frozen=True, slots=True)
class Index:
    """An index of a table in `dripiq_app`; `definition` is what follows the table's name."""

    name: str
    table: str
    definition: str

    def on(self, partition: str) -> "Index":
        """The same index of one partition, under a name of its own."""
        name = f"{partition}_{self.name}"
        if len(name) > LONGEST_NAME:
            name = f"{name[: LONGEST_NAME - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        return Index(name, partition, self.definition)


ON_DEMAND = {
    "plan-gin": Index("idx_contact_campaigns_plan_gin", "contact_campaigns", "USING gin (plan_json)"),
}
"""Indexes that are costly to write and that most never need: `dripiq db index` builds them, and no revision has them."""

READ_INDEX = text("""
    SELECT indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE relnamespace = 'dripiq_app'::regnamespace AND relname = :name
""")
READ_KIND = text("SELECT relkind = 'p' FROM pg_class WHERE oid = CAST(:table AS regclass)")
READ_PARTITIONS_WITHOUT = text("""
    SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
    WHERE inhparent = CAST(:table AS regclass) AND NOT EXISTS (
        SELECT FROM pg_index JOIN pg_inherits AS part ON part.inhrelid = indexrelid
        WHERE indrelid = child.oid AND part.inhparent = CAST(:index AS regclass)
    )
    ORDER BY child.relname
""")


def build_in_revision(index: Index) -> None:
    """Build an index in a revision's `upgrade`, which has to be run again after an interruption; offline, print how.

    What the revision did before is committed first.
    """
    with op.get_context().autocommit_block():
        if context.is_offline_mode():
            op.execute(
                f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {index.name} ON dripiq_app.{index.table} {index.definition}"
            )
        else:
            build(op.get_bind(), index)


def build(connection: Connection, index: Index) -> bool:
    """Build an index, or repair one that an interruption left INVALID; whether there was anything to do.

    Args:
        connection: as the owner, in AUTOCOMMIT.
        index: what to build; one of that name that is valid stays as it is.
    """
    partitioned = connection.execute(READ_KIND, {"table": f"dripiq_app.{index.table}"}).scalar_one()
    return _build_on_partitions(connection, index) if partitioned else _build_concurrently(connection, index)


def drop(connection: Connection, index: Index) -> bool:
    """Drop an index of a table that has no partitions, without holding anybody up; whether it was there. In AUTOCOMMIT, as the owner."""
    there = _is_valid(connection, index) is not None
    if there:
        _without_lock_timeout(connection, f"DROP INDEX CONCURRENTLY dripiq_app.{index.name}")
    return there


def change_on_demand(url: str, name: str, *, wanted: bool) -> bool:
    """Build one of the indexes `ON_DEMAND`, or drop it; whether that changed anything.

    Args:
        url: a direct URL, not a transaction pooler's.
        name: a key of `ON_DEMAND`.
        wanted: True to build, False to drop.

    Raises:
        DatabaseError: as for `migrate.upgrade`, and what `standing.check_current` says of a database that is not up to date.
        InputError: `unknown_index`.
    """
    if name not in ON_DEMAND:
        raise InputError(
            f"There is no index {name!r} to build on demand: name one of {', '.join(ON_DEMAND)}.", code="unknown_index"
        )
    with migrating(url) as connection, told_clearly():
        check_current(connection)
        connection.rollback()
        connection.execution_options(isolation_level="AUTOCOMMIT")
        return (build if wanted else drop)(connection, ON_DEMAND[name])


def _build_concurrently(connection: Connection, index: Index) -> bool:
    valid = _is_valid(connection, index)
    if valid:
        return False
    if valid is False:
        _without_lock_timeout(connection, f"DROP INDEX CONCURRENTLY dripiq_app.{index.name}")
    _without_lock_timeout(
        connection, f"CREATE INDEX CONCURRENTLY {index.name} ON dripiq_app.{index.table} {index.definition}"
    )
    return True


def _build_on_partitions(connection: Connection, index: Index) -> bool:
    valid = _is_valid(connection, index)
    if valid:
        return False
    if valid is None:
        connection.exec_driver_sql(f"CREATE INDEX {index.name} ON ONLY dripiq_app.{index.table} {index.definition}")
    names = {"table": f"dripiq_app.{index.table}", "index": f"dripiq_app.{index.name}"}
    for partition in connection.execute(READ_PARTITIONS_WITHOUT, names).scalars().all():
        part = index.on(partition)
        _build_concurrently(connection, part)
        connection.exec_driver_sql(f"ALTER INDEX dripiq_app.{index.name} ATTACH PARTITION dripiq_app.{part.name}")
    if not _is_valid(connection, index):
        raise DatabaseError(
            f"The index {index.name} is not there on each partition of {index.table}: a month was made meanwhile. Run this again.",
            code="index_unfinished",
        )
    return True


def _is_valid(connection: Connection, index: Index) -> bool | None:
    """Whether the index can be used; None where there is none."""
    valid: bool | None = connection.execute(READ_INDEX, {"name": index.name}).scalar()
    return valid


def _without_lock_timeout(connection: Connection, statement: str) -> None:
    """Run what waits for others, but lets nobody wait: it takes as long as the oldest transaction."""
    connection.exec_driver_sql("SET lock_timeout = 0")
    try:
        connection.exec_driver_sql(statement)
    finally:
        with suppress(Exception):  # the connection may be what broke
            connection.exec_driver_sql(f"SET lock_timeout = '{TABLE_LOCK_TIMEOUT}'")
