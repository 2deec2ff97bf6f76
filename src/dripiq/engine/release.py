"""What is held for a sender that is paused, though another is its sender by now?

A tenant's default moves, a plan under which campaigns go on names another sender, a sender is deleted: nobody resumes the paused one for that, so upkeep lets
such sends go on. Resuming a sender releases what it held at once (`pause_sender`).
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine

from dripiq.domain.sender_health import PAUSE_CODES
from dripiq.engine.clock import Clock
from dripiq.engine.plan_cache import plans_of
from dripiq.repositories.archive import notify_work
from dripiq.repositories.held import NamedSender, find_holding_tenants, read_held_nodes, release_for_another

BATCH = 500

_REASONS = tuple(PAUSE_CODES.values())


def release_reassigned(database: Engine, clock: Clock) -> int:
    """Let what is held for a paused sender become due again where its sender is another; how many sends, of all tenants."""
    with database.connect() as connection:
        tenants = find_holding_tenants(connection, _REASONS)
    released = 0
    for tenant_id in tenants:
        count = BATCH
        while count == BATCH:
            with database.begin() as connection:
                count = _release(connection, clock, tenant_id)
                released += count
    return released


def _release(connection: Connection, clock: Clock, tenant_id: str) -> int:
    held = read_held_nodes(connection, tenant_id, _REASONS)
    if not held:
        return 0
    nodes = _named(connection, tenant_id, held)
    count = release_for_another(connection, tenant_id, _REASONS, nodes, clock.now(connection), BATCH)
    if count:
        notify_work(connection)
    return count


def _named(connection: Connection, tenant_id: str, held: Sequence[Any]) -> list[NamedSender]:
    plans = plans_of(connection, tenant_id, ((row.campaign_id, row.plan_hash) for row in held))
    return [
        NamedSender(row.plan_hash, row.node_id, node.sender_identity_id, node.in_thread)
        for row in held
        if row.plan_hash in plans and (node := plans[row.plan_hash].nodes.get(row.node_id)) is not None
    ]
