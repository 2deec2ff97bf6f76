"""What do the archived deliveries say, in dripiq's words, and what follows from it?

One transaction for a batch of one tenant's deliveries: events, message statuses, suppressions, campaign moves, deliveries processed; all of it or none. A
bad event costs that one; a message in doubt that a provider speaks of was accepted.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from dripiq.channels.event_readers import EVENT_READERS, TIMELESS
from dripiq.channels.provider_events import ProviderEvent
from dripiq.domain.states import DeliveryStatus
from dripiq.engine.clock import Clock
from dripiq.engine.grade import RIPENS, grade
from dripiq.engine.hear import hear
from dripiq.engine.translation import MAX_BYTES, finished, is_about_data, read_delivery, tie
from dripiq.repositories.intake import Finished, find_received_tenants, finish_deliveries, read_received, take_turn
from dripiq.repositories.replaying import read_known_events


def find_tenants(database: Engine, clock: Clock) -> list[str]:
    """The tenants with deliveries that wait to be normalised, and are ripe (`grade.RIPENS`)."""
    with database.begin() as connection:
        return find_received_tenants(connection, EVENT_READERS, clock.now(connection) - RIPENS)


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
            now = clock.now(connection)
            for delivery in read_received(connection, tenant_id, EVENT_READERS, now - RIPENS, 1, MAX_BYTES):
                failed = Finished(delivery.id, DeliveryStatus.FAILED, "the database refused it")
                finish_deliveries(connection, tenant_id, [failed], now)
    return 1


def _work(database: Engine, clock: Clock, tenant_id: str, limit: int) -> int:
    with database.begin() as connection:
        if not take_turn(connection, tenant_id):
            return 0
        now = clock.now(connection)
        deliveries = read_received(connection, tenant_id, EVENT_READERS, now - RIPENS, limit, MAX_BYTES)
        if deliveries:
            reads = [read_delivery(delivery) for delivery in deliveries]
            events = _once(connection, tenant_id, [event for read in reads for event in read.events])
            tied = grade(connection, tenant_id, tie(connection, tenant_id, events))
            hear(connection, tenant_id, tied, now)
            finish_deliveries(connection, tenant_id, [finished(read) for read in reads], now)
        return len(deliveries)


def _once(connection: Connection, tenant_id: str, events: Sequence[ProviderEvent]) -> list[ProviderEvent]:
    """The events, without those that were told before at another time: who does not say when something happened may tell it again in other bytes."""
    timeless = {(e.provider, e.provider_event_id): e for e in reversed(events) if e.provider in TIMELESS}
    known = read_known_events(connection, tenant_id, timeless) if timeless else {}
    return [
        e
        for e in events
        if (name := (e.provider, e.provider_event_id)) not in timeless or (timeless[name] is e and name not in known)
    ]
