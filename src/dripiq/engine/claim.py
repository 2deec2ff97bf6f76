"""What is due, and for whom does this worker take it?

A round visits every tenant that has due work, from a rotating start, and takes at most a share from each: a tenant with a million due rows delays
another's ten by one round and no more.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Engine

from dripiq.engine.clock import Clock
from dripiq.repositories.queue import Lease, claim_due, find_due_tenants


@dataclass(frozen=True, slots=True)
class Share:
    """How much a worker takes of one tenant in one round, and for how long."""

    actions: int = 500
    lease: timedelta = timedelta(minutes=2)


def find_due(database: Engine, clock: Clock, *, after: str = "") -> list[str]:
    """The tenants with due work, those beyond `after` first: the next round starts where the last one did, and one further."""
    with database.begin() as connection:
        due = find_due_tenants(connection, clock.now(connection))
    later = [tenant_id for tenant_id in due if tenant_id > after]
    return later + due[: len(due) - len(later)]


def claim_round(database: Engine, clock: Clock, share: Share, *, after: str = "") -> Iterator[Lease]:
    """One round over the tenants with due work; each lease is taken when it is asked for."""
    for tenant_id in find_due(database, clock, after=after):
        lease = claim(database, clock, tenant_id, share)
        if lease.actions:
            yield lease


def claim(database: Engine, clock: Clock, tenant_id: str, share: Share) -> Lease:
    """Lease a share of one tenant's due actions."""
    expires = time.monotonic() + share.lease.total_seconds()
    with database.begin() as connection:
        now = clock.now(connection)
        return claim_due(connection, tenant_id, now=now, until=now + share.lease, expires=expires, limit=share.actions)
