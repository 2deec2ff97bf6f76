"""How does a doubt about a message end, where no evidence comes?

By its tenant's policy, once it is old enough (`settle`), or by the word of a person who has looked (`resolve`). Either way the campaign goes on from there.
"""

import logging
from collections.abc import Sequence
from datetime import datetime

from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from dripiq.domain.moves import IN_DOUBT, Accepted, Input, Refused
from dripiq.domain.states import Resolution
from dripiq.engine.caller import connection_of, time_of
from dripiq.engine.clock import Clock
from dripiq.engine.react import answer
from dripiq.repositories.archive import notify_work
from dripiq.repositories.doubts import Doubt, assume_sent, find_doubts, find_old_doubts, give_up, resend
from dripiq.repositories.standing import lock_campaigns

logger = logging.getLogger(__name__)

BATCH = 500


def settle(database: Engine, clock: Clock) -> int:
    """Settle doubts that are older than their tenant wants to wait, as the tenant wants; how many. A tenant whose campaigns somebody holds waits alone."""
    settled = 0
    with database.connect() as connection:
        doubts = find_old_doubts(connection, clock.now(connection), BATCH)
    for tenant_id in sorted({doubt.tenant_id for doubt in doubts}):
        own = [doubt for doubt in doubts if doubt.tenant_id == tenant_id]
        resolution = Resolution.RESEND if own[0].policy == "resend" else Resolution.SENT
        try:
            with database.begin() as connection:
                settled += len(_end(connection, tenant_id, own, resolution, "assumed_sent", clock.now(connection)))
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable):
                raise
            logger.info("tenant %s: somebody holds its campaigns; its doubts are settled another time", tenant_id)
    return settled


def resolve(
    caller: Connection | Session,
    message_ids: Sequence[str],
    resolution: Resolution,
    *,
    tenant_id: str | None = None,
    now: datetime | None = None,
) -> set[str]:
    """End the doubts about messages by the word of a person, in the caller's transaction.

    Args:
        tenant_id: whose they are; None for whoever's.
        now: the time (aware, UTC) at which this is said; None for the database's.

    Returns:
        The messages that were in doubt and no longer are; the others are left as they were.
    """
    connection = connection_of(caller)
    now = time_of(connection, now)
    doubts = find_doubts(connection, message_ids, tenant_id)
    ended: set[str] = set()
    for owner in sorted({doubt.tenant_id for doubt in doubts}):
        own = [doubt for doubt in doubts if doubt.tenant_id == owner]
        ended |= _end(connection, owner, own, resolution, "resolved_by_hand", now)
    if ended:
        notify_work(connection)
    return ended


def _end(
    connection: Connection, tenant_id: str, doubts: Sequence[Doubt], resolution: Resolution, code: str, now: datetime
) -> set[str]:
    """Write it, and let the campaigns answer; the messages that were still in doubt."""
    campaigns = lock_campaigns(connection, tenant_id, [doubt.campaign_id for doubt in doubts])
    # Meanwhile somebody may have ended a doubt, and sending the message again may have begun another, which is not the one that was spoken of.
    still = {(d.message_id, d.since) for d in find_doubts(connection, [d.message_id for d in doubts], tenant_id)}
    doubts = [doubt for doubt in doubts if (doubt.message_id, doubt.since) in still]
    ids = [doubt.message_id for doubt in doubts]
    again: set[str] = set()
    sent: set[str] = set()
    unsent: set[str] = set()
    if resolution is Resolution.NOT_SENT:
        unsent = give_up(connection, tenant_id, ids, code, now)
    else:
        if resolution is Resolution.RESEND:
            again = resend(connection, tenant_id, ids, IN_DOUBT, now)
        sent = assume_sent(connection, tenant_id, ids, code, now)
    inputs: dict[str, list[Input]] = {}
    for doubt in doubts:
        if doubt.message_id in sent:
            accepted = Accepted(doubt.since, doubt.message_id, doubt.node_id, doubt.visit)
            inputs.setdefault(doubt.campaign_id, []).append(accepted)
        elif doubt.message_id in unsent:
            inputs.setdefault(doubt.campaign_id, []).append(Refused(now, doubt.node_id, doubt.visit, code))
    answer(connection, tenant_id, [c for c in campaigns if c.id in inputs], inputs, now)
    return again | sent | unsent
