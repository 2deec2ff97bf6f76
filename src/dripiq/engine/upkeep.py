"""What does the engine put right by itself?

Small steps, each a transaction of its own, any worker at any time: leases that ran out go back, what may have been handed over becomes in doubt,
partitions are made ahead, and dropped where somebody said how long events are kept. (Old doubts are settled in `resolve`.)
"""

import logging
from dataclasses import dataclass
from datetime import timedelta

from psycopg.errors import LockNotAvailable
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from dripiq.db.partitions import ensure_partitions
from dripiq.db.retention import drop_expired, first_kept
from dripiq.domain.errors import DatabaseError
from dripiq.engine.clock import Clock
from dripiq.repositories import limits
from dripiq.repositories.doubts import find_orphans, mark_in_doubt
from dripiq.repositories.limits import find_idle_tenants
from dripiq.repositories.queue import expire_leases, find_expired_tenants

logger = logging.getLogger(__name__)

BATCH = 500
MONTHS_AHEAD = 3
BUCKETS_KEPT = timedelta(days=2)
"""Longer than the longest period and the furthest booking together, so that what is older is in no window."""


@dataclass(frozen=True, slots=True)
class Repairs:
    """What one round put right."""

    leases_returned: int = 0
    put_in_doubt: int = 0
    partitions_made: int = 0
    partitions_dropped: int = 0
    buckets_pruned: int = 0


def expire(database: Engine, clock: Clock, grace: timedelta) -> Repairs:
    """Take back leases that ran out, and mark what nobody is handing over any more.

    Args:
        grace: how long a message may be `sending` without a lease before it is in doubt; no shorter than a lease.
    """
    returned = doubted = 0
    with database.connect() as connection:
        expired = find_expired_tenants(connection, clock.now(connection))
    for tenant_id in expired:
        with database.begin() as connection:
            returned += expire_leases(connection, tenant_id, clock.now(connection), BATCH)
    with database.connect() as connection:
        orphaned = find_orphans(connection, clock.now(connection) - grace)
    for tenant_id in orphaned:
        with database.begin() as connection:
            now = clock.now(connection)
            doubted += mark_in_doubt(connection, tenant_id, now - grace, now, BATCH)
    return Repairs(leases_returned=returned, put_in_doubt=doubted)


def prune_buckets(database: Engine, clock: Clock) -> Repairs:
    """Delete what counted against limits and counts in no window any more."""
    with database.connect() as connection:
        before = clock.now(connection) - BUCKETS_KEPT
        idle = find_idle_tenants(connection, before, BATCH)
    pruned = 0
    for tenant_id in idle:
        with database.begin() as connection:
            pruned += limits.prune_buckets(connection, tenant_id, before)
    return Repairs(buckets_pruned=pruned)


def make_partitions(database: Engine, clock: Clock) -> Repairs:
    """See that the partitions of the months ahead are there."""
    with database.connect() as connection:
        now = clock.now(connection)
        connection.rollback()  # so that each month is a transaction of its own
        try:
            return Repairs(partitions_made=len(ensure_partitions(connection, months_ahead=MONTHS_AHEAD, now=now)))
        except DatabaseError as error:  # a person has to choose the hour; meanwhile the default partition serves
            logger.warning("%s", error.message)
    return Repairs()


def drop_partitions(database: Engine, clock: Clock, keep_months: int) -> Repairs:
    """Drop the months of events before the current one and the `keep_months` before it."""
    with database.connect() as connection:
        now = clock.now(connection)
        connection.rollback()
        try:
            dropped = drop_expired(connection, first_kept(now, keep_months), now)
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable):
                raise
            logger.info("A month of events that has been kept long enough is in use: it is dropped another time.")
            return Repairs()
    for partition in dropped:
        logger.info("Dropped %s: kept long enough.", partition.name)
    return Repairs(partitions_dropped=len(dropped))
