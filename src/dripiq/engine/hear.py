"""What follows from events: rows, message statuses, suppressions, and what the campaigns answer?

In the caller's transaction, for events that are translated and tied to their messages. What is known already changes nothing. The sending locks come first, if
anything suppresses; then the campaigns by id, their open actions, and messages last.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from dripiq.domain.states import Channel
from dripiq.engine.closing import campaigns_of, find_closed, with_closed_stopped
from dripiq.engine.react import answer, replied_in, with_colleagues_stopped
from dripiq.engine.translation import (
    Tied,
    facts_of,
    inbound_of,
    inputs_of,
    lifts_of,
    row_of,
    suppressions_of,
    telling_of,
)
from dripiq.repositories.intake import insert_events, raise_statuses, upsert_suppressions
from dripiq.repositories.lifting import lift_suppressions
from dripiq.repositories.receiving import InboundRow, insert_inbound
from dripiq.repositories.sending_lock import lock_exclusive
from dripiq.repositories.standing import lock_campaigns, read_colleagues


def hear(
    connection: Connection, tenant_id: str, tied: Sequence[Tied], now: datetime, inbound: Sequence[InboundRow] = ()
) -> None:
    """Write events of a tenant, and let campaigns answer them; `inbound` are the messages that came in, to be stored with them.

    The transaction has done nothing but read so far.
    """
    closed = find_closed(connection, tenant_id, tied)
    if suppressions_of(tied):
        # Nothing but reads came before: every later statement sees what was committed while this waited.
        lock_exclusive(connection, [(tenant_id, channel) for channel in Channel])
    telling = telling_of(connection, tenant_id, tied)
    heard = inputs_of(telling)
    colleagues = read_colleagues(connection, tenant_id, replied_in(heard))
    campaigns = lock_campaigns(connection, tenant_id, campaigns_of(heard, colleagues, closed))
    insert_inbound(connection, tenant_id, [*inbound, *inbound_of(tied)], now)
    fresh_ids = insert_events(connection, tenant_id, [row_of(t) for t in tied], now)
    fresh = [t for t in tied if t.id in fresh_ids]
    raise_statuses(connection, tenant_id, facts_of(fresh), now)
    if suppressions := suppressions_of(fresh):
        upsert_suppressions(connection, tenant_id, suppressions, now)
    if lifts := lifts_of(fresh):
        lift_suppressions(connection, tenant_id, lifts, now)
    inputs = with_colleagues_stopped(inputs_of([t for t in telling if t.id in fresh_ids]), colleagues, now)
    inputs = with_closed_stopped(inputs, closed, fresh_ids, now)
    answer(connection, tenant_id, [c for c in campaigns if c.id in inputs], inputs, now)
