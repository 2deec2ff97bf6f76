"""What do the archived deliveries say, in dripiq's words, and what follows from it?

One transaction for a batch of one tenant's deliveries: events, message statuses, suppressions, campaign moves, deliveries processed; all of it or none. A
bad event costs that one; a message in doubt that a provider speaks of was accepted.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from dripiq.channels.sendgrid_events import ProviderEvent
from dripiq.domain.events import SUPPRESSION_OF_EVENT
from dripiq.domain.states import Channel, DeliveryStatus
from dripiq.engine.clock import Clock
from dripiq.engine.react import answer, replied_in, with_colleagues_stopped
from dripiq.engine.translation import (
    MAX_BYTES,
    facts_of,
    finished,
    inputs_of,
    is_about_data,
    read_delivery,
    row_of,
    suppressions_of,
    telling_of,
    tie,
)
from dripiq.repositories.intake import (
    Finished,
    find_received_tenants,
    finish_deliveries,
    insert_events,
    raise_statuses,
    read_received,
    take_turn,
    upsert_suppressions,
)
from dripiq.repositories.sending_lock import lock_exclusive
from dripiq.repositories.standing import lock_campaigns, read_colleagues


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
            take_events(connection, tenant_id, deliveries[0].provider, events, now)
            finish_deliveries(connection, tenant_id, [finished(read) for read in reads], now)
        return len(deliveries)


def take_events(
    connection: Connection, tenant_id: str, provider: str, events: Sequence[ProviderEvent], now: datetime
) -> None:
    """Write what a provider says of a tenant's messages, and let campaigns answer it; what is known already changes nothing.

    In the caller's transaction, which has done nothing but read so far.
    """
    if any(event.event_type in SUPPRESSION_OF_EVENT for event in events):
        # Nothing but reads came before: every later statement sees what was committed while this waited.
        lock_exclusive(connection, [(tenant_id, channel) for channel in Channel])
    tied = tie(connection, tenant_id, provider, events)
    telling = telling_of(connection, tenant_id, tied)
    colleagues = read_colleagues(connection, tenant_id, replied_in(inputs_of(telling)))
    touched = {t.message.contact_campaign_id for t in telling}
    campaigns = lock_campaigns(connection, tenant_id, touched.union(*colleagues.values()))
    fresh_ids = insert_events(connection, tenant_id, [row_of(provider, t) for t in tied], now)
    fresh = [t for t in tied if t.id in fresh_ids]
    raise_statuses(connection, tenant_id, facts_of(fresh), now)
    if suppressions := suppressions_of(fresh):
        upsert_suppressions(connection, tenant_id, suppressions, now)
    inputs = with_colleagues_stopped(inputs_of([t for t in telling if t.id in fresh_ids]), colleagues, now)
    answer(connection, tenant_id, [c for c in campaigns if c.id in inputs], inputs, now)
