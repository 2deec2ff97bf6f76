"""What do the archived deliveries say, in dripiq's words, and what follows from it?

One transaction for a batch of one tenant's deliveries: events, message statuses, suppressions, campaign moves, deliveries processed; all of it or none. A
bad event costs that one; a message in doubt that a provider speaks of was accepted.
"""

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from dripiq.domain.states import DeliveryStatus
from dripiq.engine.clock import Clock
from dripiq.engine.hear import hear
from dripiq.engine.translation import MAX_BYTES, finished, is_about_data, read_delivery, tie
from dripiq.repositories.intake import Finished, find_received_tenants, finish_deliveries, read_received, take_turn


def find_tenants(database: Engine) -> list[str]:
    """The tenants with deliveries that wait to be normalised."""
    with database.begin() as connection:
        return find_received_tenants(connection)


def normalise(database: Engine, clock: Clock, tenant_id: str, *, limit: int = 50) -> int:
    """Work a tenant's oldest deliveries, at most `limit`; how many. None while another worker is at this tenant's.

    A batch that the database refuses for what it says is worked delivery by delivery; the one it still refuses is set aside as `failed`, whole.
    """
    try:
        return _work(database, clock, tenant_id, limit)
    except DBAPIError as error:
        if not is_about_data(error):
            raise
    if limit > 1:
        return normalise(database, clock, tenant_id, limit=1)
    with database.begin() as connection:
        if take_turn(connection, tenant_id):
            for delivery in read_received(connection, tenant_id, 1, MAX_BYTES):
                failed = Finished(delivery.id, DeliveryStatus.FAILED, "the database refused it")
                finish_deliveries(connection, tenant_id, [failed], clock.now(connection))
    return 1


def _work(database: Engine, clock: Clock, tenant_id: str, limit: int) -> int:
    with database.begin() as connection:
        if not take_turn(connection, tenant_id):
            return 0
        deliveries = read_received(connection, tenant_id, limit, MAX_BYTES)
        if deliveries:
            reads = [read_delivery(delivery) for delivery in deliveries]
            events = [event for read in reads for event in read.events]
            now = clock.now(connection)
            hear(connection, tenant_id, tie(connection, tenant_id, events), now)
            finish_deliveries(connection, tenant_id, [finished(read) for read in reads], now)
        return len(deliveries)
