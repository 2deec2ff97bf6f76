"""Which months of events have been kept long enough, and how do they go?

A month goes as a whole, by dropping its partition: no row is deleted, and nothing is left to vacuum. The current month and those to come never go; neither
does what the default partition holds.

Who waits meanwhile: DROP TABLE locks `message_events`, its default partition and the month against readers and writers, for the milliseconds that a change
of the catalog takes, and waits for them `LOCK_TIMEOUT` at most; then it gives way and tries again. (DETACH … CONCURRENTLY is refused while there is a default
partition; a plain DETACH locks the tables that events refer to as well.)
"""

from datetime import datetime
from functools import partial

from sqlalchemy import Connection, func, select

from dripiq.db.partitions import LOCK_TIMEOUT, Partition, list_months, month_of, patiently, plus
from dripiq.domain.errors import InputError
from dripiq.schema import MessageEvent

_PARENT = MessageEvent.__table__.fullname  # type: ignore[attr-defined]


def first_kept(now: datetime, keep_months: int) -> datetime:
    """The first month that stays when so many full months before the current one are kept."""
    return plus(month_of(now), -keep_months)


def find_expired(connection: Connection, before: datetime, now: datetime) -> list[Partition]:
    """The months that lie before a month and may go, the oldest first; nothing is changed.

    Raises:
        InputError: `month_not_over` when that would take the current month.
    """
    if before > month_of(now):
        raise InputError(
            f"Only months that are over can be dropped: name {month_of(now):%Y-%m} or a month before it.",
            code="month_not_over",
        )
    return [partition for partition in list_months(connection) if partition.month < before]


def drop_expired(connection: Connection, before: datetime, now: datetime) -> list[Partition]:
    """Drop the months before a month, each in a transaction of its own; what was dropped.

    Args:
        connection: as the owner of the tables, with no transaction open.
        before: the first instant of a UTC month.
        now: the engine's clock.

    Raises:
        InputError: `month_not_over`.
        sqlalchemy.exc.OperationalError: a lock could not be had for a month; the ones before it are gone, a later call drops the rest.
    """
    with connection.begin():
        expired = find_expired(connection, before, now)
    return [each for each in expired if patiently(connection, partial(_drop, connection, each.name))]


def _drop(connection: Connection, name: str) -> bool:
    partition = f"{MessageEvent.metadata.schema}.{name}"
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
    # Whoever writes events locks the parent first; so nobody waits for us while we wait for another.
    connection.exec_driver_sql(f"LOCK TABLE ONLY {_PARENT} IN ACCESS EXCLUSIVE MODE")
    there = connection.execute(select(func.to_regclass(partition))).scalar_one() is not None
    if there:
        connection.exec_driver_sql(f"DROP TABLE {partition}")
    return there
