"""How does an empty database come to hold months of outreach, in minutes?

Table after table by COPY, keys and checks in force. What later tables refer to is analysed before they are loaded, over new connections: the plans of the
key checks are made once a session, and would read whole tables if they were made while nothing was known of them.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Final

from sqlalchemy import Engine

from dripiq.db.partitions import ensure_partitions
from dripiq.domain.errors import ConflictError, InputError
from dripiq.repositories.bulk_seed import copy_rows, is_empty, vacuum_analyze
from dripiq.repositories.registration import read_own_host_tables
from dripiq.simulate import bulk_history, bulk_people
from dripiq.simulate.bulk_rows import IN_HAND, MONTHS, Loaded, Population, Scale

ROWS_PER_COPY = 50_000
"""One transaction's worth: the checks of its keys wait in memory until its end."""

STAGES: Final = (
    (bulk_people.TENANTS, bulk_people.USERS),
    (
        bulk_people.LEADS,
        bulk_people.SENDERS,
        bulk_people.SETTINGS,
        bulk_people.LIMITS,
        bulk_people.SUPPRESSIONS,
        bulk_history.DELIVERIES,
        bulk_history.QUARANTINE,
    ),
    (bulk_people.CONTACTS,),
    (bulk_people.VALIDATIONS, bulk_people.CHANNELS, bulk_history.CAMPAIGNS),
    (
        bulk_history.VERSIONS,
        bulk_history.ACTIONS,
        bulk_history.MESSAGES,
        bulk_history.INBOUND,
        bulk_history.TRANSITIONS,
    ),
    (bulk_history.EVENTS,),
)
"""In this order: a table comes in a later stage than what it refers to."""

OWN_TABLES = frozenset({"tenants", "users", "leads", "lead_point_of_contacts"})

Told = Callable[[str, int], object]
"""Is told of (table, rows just loaded)."""


def seed_bulk(
    database: Engine, scale: Scale, *, seed: int, now: datetime, told: Told, statistics: bool = True
) -> dict[str, int]:
    """Fill a migrated, empty database; committed piece by piece.

    Args:
        scale: how many rows; 1,000 campaigns and as many messages and actions at least.
        seed: the same one, with the same scale and time, makes the same rows.
        now: the end of the history, with its zone.
        statistics: make the planner's statistics; False is for small scales, to see what it does without.

    Returns:
        The rows of each table.

    Raises:
        ConflictError: `not_empty`: there are tenants or campaigns already; `adopted_host`: the host tables are an application's own.
        InputError: the scale is too small.
    """
    _check(scale)
    with database.connect() as connection:
        if not read_own_host_tables(connection) >= OWN_TABLES:
            raise ConflictError("The host tables are an application's own: fill another database.", code="adopted_host")
        if not is_empty(connection):
            raise ConflictError("The database holds tenants or campaigns: fill an empty one.", code="not_empty")
        connection.rollback()
        people = Population(scale, seed, now)
        ensure_partitions(connection, months_ahead=MONTHS, now=people.start)
    counts: dict[str, int] = {}
    for stage in STAGES:
        database.dispose()  # plans of key checks die with their sessions
        for loaded in stage:
            counts[loaded.table] = _load(database, loaded, people, told)
        if statistics:
            with database.connect() as connection:
                free = connection.execution_options(isolation_level="AUTOCOMMIT")
                vacuum_analyze(free, [loaded.table for loaded in stage])
    database.dispose()
    return counts


def _check(scale: Scale) -> None:
    least = max(1_000, 2 * IN_HAND, scale.tenants)
    if scale.campaigns < least or min(scale.messages, scale.actions) < scale.campaigns or scale.events < scale.messages:
        raise InputError(
            f"Too few: at least {least:,} campaigns, a message and an action for each, and an event for each message.",
            code="scale_too_small",
        )


def _load(database: Engine, loaded: Loaded, people: Population, told: Told) -> int:
    total = 0
    with database.connect() as connection:
        for some in _portions(loaded.rows(people)):
            with connection.begin():
                copied = copy_rows(connection, loaded.table, loaded.columns.split(), some)
            total += copied
            told(loaded.table, copied)
    return total


def _portions(rows: Iterator[Sequence[object]]) -> Iterator[Iterator[Sequence[object]]]:
    while (first := next(rows, None)) is not None:
        yield _with(first, islice(rows, ROWS_PER_COPY - 1))


def _with(first: Sequence[object], rest: Iterator[Sequence[object]]) -> Iterator[Sequence[object]]:
    yield first
    yield from rest
