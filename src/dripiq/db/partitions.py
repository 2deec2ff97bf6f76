"""Which months of `message_events` have a partition of their own?

Months are made ahead, so that events are written straight into them; what falls outside (1970, 2100, a month not made yet) is stored in the
default partition, and moves out when its month is made.

Who waits meanwhile: a partition is made beside its parent and then attached (`PARTITION OF` would lock the parent against readers). Attaching
holds off writers of the tables that events refer to, and whoever touches the default partition, for the few milliseconds that it takes plus the
time to move the rows. It waits for each of them `LOCK_TIMEOUT` at most, and so does whoever queues behind it; then it gives way and tries again.
"""

import time
from datetime import UTC, datetime

from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from dripiq.schema import MessageEvent, OutboundMessage

LOCK_TIMEOUT = "500ms"
"""Shorter than PostgreSQL's deadlock_timeout (1 s): where two wait for each other, it is never the application's transaction that fails."""

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

SET_LOCK_TIMEOUT = text("SELECT set_config('lock_timeout', :timeout, true)")


def ensure_partitions(connection: Connection, *, months_ahead: int, now: datetime) -> list[str]:
    """Make the partitions of the current month and of the months after it; those that exist stay as they are.

    Each month is made in a transaction of its own, and tried a few times; or all of them once, in the caller's transaction when one is open.

    Args:
        connection: as the owner of the tables.
        months_ahead: how many months after the current one.
        now: the engine's clock, with its zone; months are UTC months.

    Returns:
        The names of the partitions made (`message_events_y2026m11`), in the order of their months.

    Raises:
        sqlalchemy.exc.OperationalError: a lock could not be had in `LOCK_TIMEOUT`; that month was not made, a later call makes it.
    """
    joined = connection.in_transaction()
    this_month = _month_of(now)
    made: list[str] = []
    for ahead in range(months_ahead + 1):
        start, end = _plus(this_month, ahead), _plus(this_month, ahead + 1)
        if _make_partition(connection, start, end) if joined else _make_patiently(connection, start, end):
            made.append(_name(start))
    return made


def _make_patiently(connection: Connection, start: datetime, end: datetime) -> bool:
    for pause in range(1, ATTEMPTS):
        try:
            with connection.begin():
                return _make_partition(connection, start, end)
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable):
                raise
        time.sleep(PAUSE_SECONDS * pause)
    with connection.begin():
        return _make_partition(connection, start, end)


def _make_partition(connection: Connection, start: datetime, end: datetime) -> bool:
    name = _name(start)
    if name in _partitions(connection):
        return False
    usual_timeout = connection.exec_driver_sql("SHOW lock_timeout").scalar_one()
    connection.execute(SET_LOCK_TIMEOUT, {"timeout": LOCK_TIMEOUT})
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
        for statement in _statements(made, start.isoformat(), end.isoformat()):
            connection.exec_driver_sql(statement)
    connection.execute(SET_LOCK_TIMEOUT, {"timeout": usual_timeout})
    return missing


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


def _month_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _plus(month: datetime, months: int) -> datetime:
    years, index = divmod(month.month - 1 + months, 12)
    return month.replace(year=month.year + years, month=index + 1)


def _name(month: datetime) -> str:
    return f"{MessageEvent.__tablename__}_y{month:%Y}m{month:%m}"
