"""Which months of `message_events` have a partition of their own?

Months are made ahead, so that events are written straight into them; what falls outside (1970, 2100, a month not made yet) is stored in the
default partition, and moves out when its month is made.

Who waits meanwhile: a partition is made beside its parent and then attached (`PARTITION OF` would lock the parent against readers). Attaching
holds off writers of the tables that events refer to, and whoever touches the default partition, for the few milliseconds that it takes plus the
time to move the rows. It waits for each of them `LOCK_TIMEOUT` at most, and so does whoever queues behind it; then it gives way and tries again.
Moving takes `LONGEST_PAUSE` seconds at most: where there is more to move, the month is not made, and somebody chooses when to make it.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from psycopg.errors import LockNotAvailable, QueryCanceled
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from dripiq.domain.errors import DatabaseError
from dripiq.schema import MessageEvent, OutboundMessage

_Outcome = TypeVar("_Outcome")

LOCK_TIMEOUT = "500ms"
"""Shorter than PostgreSQL's deadlock_timeout (1 s): where two wait for each other, it is never the application's transaction that fails."""

LONGEST_PAUSE = 3.0
"""Seconds; where it was measured (2 cores, data in memory), writers waited 0.6 s for 100,000 events to move."""

ATTEMPTS = 5
PAUSE_SECONDS = 0.2

_PARENT = MessageEvent.__table__.fullname  # type: ignore[attr-defined]
_DEFAULT = f"{_PARENT}_default"
_REFERRED = OutboundMessage.__table__.fullname  # type: ignore[attr-defined]

READ_PARTITIONS = text("""
    SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid WHERE inhparent = CAST(:parent AS regclass)
""")

READ_PROTECTION = text("""
    SELECT format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', partition.oid::regclass) AS statement
    FROM pg_class AS partition, pg_class AS parent
    WHERE partition.oid = CAST(:partition AS regclass) AND parent.oid = CAST(:parent AS regclass)
      AND parent.relrowsecurity AND NOT partition.relrowsecurity
    UNION ALL
    SELECT format('CREATE POLICY %I ON %s', polname, CAST(:partition AS regclass))
        || CASE WHEN polpermissive THEN '' ELSE ' AS RESTRICTIVE' END
        || (SELECT ' TO ' || string_agg(member::regrole::text, ', ') FROM unnest(polroles) AS member)
        || coalesce(' USING (' || pg_get_expr(polqual, polrelid) || ')', '')
        || coalesce(' WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')', '')
    FROM pg_policy AS policy
    WHERE polrelid = CAST(:parent AS regclass) AND NOT EXISTS (
        SELECT FROM pg_policy AS there WHERE there.polrelid = CAST(:partition AS regclass) AND there.polname = policy.polname
    )
""")
"""What a partition lacks of its parent's row-level security; all our policies are for every command."""

READ_SIZES = text("""
    SELECT child.relname, CASE WHEN child.reltuples >= 0 THEN child.reltuples::bigint END AS rows, pg_total_relation_size(child.oid) AS bytes
    FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
    WHERE inhparent = CAST(:parent AS regclass)
    ORDER BY child.relname
""")

SET_TIMEOUTS = text("SELECT set_config('lock_timeout', :lock, true), set_config('statement_timeout', :statement, true)")


@dataclass(frozen=True, slots=True)
class Partition:
    """A month's partition, as the planner knows it: `month` is its first instant (UTC), `rows` an estimate, None before the first analyze."""

    name: str
    month: datetime
    rows: int | None
    bytes: int


@dataclass(frozen=True, slots=True)
class DefaultPartition:
    """What no month's partition holds: the rows, counted, in all and by their month (`1970-01`)."""

    rows: int
    bytes: int
    rows_by_month: dict[str, int]


def list_months(connection: Connection) -> list[Partition]:
    """The months that have a partition, in their order."""
    found = connection.execute(READ_SIZES, {"parent": _PARENT})
    return [Partition(name, month, rows, size) for name, rows, size in found if (month := _month_named(name))]


def read_default(connection: Connection) -> DefaultPartition:
    """What the default partition holds; it is read as a whole. As the owner."""
    sizes = {name: size for name, _, size in connection.execute(READ_SIZES, {"parent": _PARENT})}
    count_by_month = (
        f"SELECT to_char(event_at AT TIME ZONE 'UTC', 'YYYY-MM'), count(*) FROM {_DEFAULT} GROUP BY 1 ORDER BY 1"  # noqa: S608
    )
    counts: dict[str, int] = {month: count for month, count in connection.exec_driver_sql(count_by_month)}  # noqa: C416
    return DefaultPartition(sum(counts.values()), sizes[_DEFAULT.rpartition(".")[2]], counts)


def ensure_partitions(
    connection: Connection, *, months_ahead: int, now: datetime, longest_pause: float = LONGEST_PAUSE
) -> list[str]:
    """Make the partitions of the current month and of the months after it; those that exist stay as they are.

    Each month is made in a transaction of its own, and tried a few times; or all of them once, in the caller's transaction when one is open.

    Args:
        connection: as the owner of the tables.
        months_ahead: how many months after the current one.
        now: the engine's clock, with its zone; months are UTC months.
        longest_pause: seconds that moving rows out of the default partition may hold up whoever writes.

    Returns:
        The names of the partitions made (`message_events_y2026m11`), in the order of their months.

    Raises:
        DatabaseError: `month_too_full` when the default partition holds more rows of a month than can be moved in that time; nothing was moved.
        sqlalchemy.exc.OperationalError: a lock could not be had in `LOCK_TIMEOUT`; that month was not made, a later call makes it.
    """
    joined = connection.in_transaction()
    this_month = month_of(now)
    made: list[str] = []
    for ahead in range(months_ahead + 1):
        month = plus(this_month, ahead)
        if joined:
            fresh = _make_partition(connection, month, longest_pause)
        else:
            fresh = patiently(connection, lambda month=month: _make_partition(connection, month, longest_pause))  # type: ignore[misc]
        if fresh:
            made.append(_name(month))
    return made


def patiently(connection: Connection, work: Callable[[], _Outcome]) -> _Outcome:
    """Do something in a transaction of its own that gives up its locks rather than wait for long; tried a few times, with pauses between.

    Raises:
        sqlalchemy.exc.OperationalError: a lock could not be had even then.
    """
    for attempt in range(1, ATTEMPTS):
        try:
            with connection.begin():
                return work()
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable):
                raise
        time.sleep(PAUSE_SECONDS * attempt)
    with connection.begin():
        return work()


def _make_partition(connection: Connection, month: datetime, longest_pause: float) -> bool:
    name = _name(month)
    if name in _partitions(connection):
        return False
    lock, statement = (
        connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in ("lock_timeout", "statement_timeout")
    )
    connection.execute(SET_TIMEOUTS, {"lock": LOCK_TIMEOUT, "statement": f"{longest_pause * 1000:.0f}ms"})
    # What most of the application writes comes first, while nothing is held that anybody else may wait for.
    connection.exec_driver_sql(f"LOCK TABLE {_REFERRED} IN SHARE ROW EXCLUSIVE MODE")
    # One maker at a time; readers and writers are not held up by this mode.
    connection.exec_driver_sql(f"LOCK TABLE ONLY {_PARENT} IN SHARE UPDATE EXCLUSIVE MODE")
    missing = name not in _partitions(connection)
    if missing:
        made = f"{MessageEvent.metadata.schema}.{name}"
        connection.exec_driver_sql(
            f"CREATE TABLE {made} (LIKE {_PARENT} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)"
        )
        _protect(connection, made)
        _fill(connection, made, month)
    connection.execute(SET_TIMEOUTS, {"lock": lock, "statement": statement})
    return missing


def _fill(connection: Connection, partition: str, month: datetime) -> None:
    """Give a table beside the parent the rows of its month, and attach it."""
    try:
        for statement in _statements(partition, month.isoformat(), plus(month, 1).isoformat()):
            connection.exec_driver_sql(statement)
    except OperationalError as error:
        if not isinstance(error.orig, QueryCanceled):
            raise
        raise DatabaseError(
            f"The default partition holds more events of {month:%Y-%m} than can be moved without a long pause for whoever writes: nothing was moved. "
            "Choose a quiet hour, and run `dripiq db partitions make --pause SECONDS`.",
            code="month_too_full",
            facts={"month": f"{month:%Y-%m}"},
        ) from error


def protect_partitions(connection: Connection) -> None:
    """Give every partition the row-level security of its parent, where it lacks it. In the caller's transaction, as the owner."""
    for name in sorted(_partitions(connection)):
        _protect(connection, f"{MessageEvent.metadata.schema}.{name}")


def _protect(connection: Connection, partition: str) -> None:
    # It gets no rights: whoever reads a partition directly would read around its parent's policies. These are for who gives some all the same.
    lacking = connection.execute(READ_PROTECTION, {"parent": _PARENT, "partition": partition}).scalars().all()
    for statement in lacking:
        connection.exec_driver_sql(statement)


def _statements(partition: str, start: str, end: str) -> list[str]:
    bounds = f"{partition.rpartition('.')[2]}_bounds"
    inside = f"event_at >= '{start}' AND event_at < '{end}'"
    return [
        # With this proof, ATTACH does not read the new partition to check its rows.
        f"ALTER TABLE {partition} ADD CONSTRAINT {bounds} CHECK ({inside})",
        f"LOCK TABLE {_DEFAULT} IN ACCESS EXCLUSIVE MODE",
        f"WITH moved AS (DELETE FROM {_DEFAULT} WHERE {inside} RETURNING *) INSERT INTO {partition} SELECT * FROM moved",  # noqa: S608
        f"ALTER TABLE {_PARENT} ATTACH PARTITION {partition} FOR VALUES FROM ('{start}') TO ('{end}')",
        f"ALTER TABLE {partition} DROP CONSTRAINT {bounds}",
    ]


def _partitions(connection: Connection) -> set[str]:
    return set(connection.execute(READ_PARTITIONS, {"parent": _PARENT}).scalars())


def month_of(moment: datetime) -> datetime:
    """The first instant of the UTC month in which something happens."""
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def plus(month: datetime, months: int) -> datetime:
    """The month so many months later, or before where they are negative."""
    years, index = divmod(month.month - 1 + months, 12)
    return month.replace(year=month.year + years, month=index + 1)


def _name(month: datetime) -> str:
    return f"{MessageEvent.__tablename__}_y{month:%Y}m{month:%m}"


def _month_named(name: str) -> datetime | None:
    named = re.fullmatch(rf"{MessageEvent.__tablename__}_y(\d{{4}})m(\d{{2}})", name)
    return datetime(int(named[1]), int(named[2]), 1, tzinfo=UTC) if named else None
