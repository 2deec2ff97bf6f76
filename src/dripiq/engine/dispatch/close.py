"""To whom may nobody write any more, because a provider has said so when it refused a message?

A transaction of its own, after the outcomes are recorded: it waits for the tenant's sending lock, which somebody may hold for long, and what is known of a
hand-over must not wait for that. Should the process die between the two, the address stays open until the next message to it is refused.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from dripiq.domain.moves import Input, Stop
from dripiq.domain.states import Channel, SuppressionScope, SuppressionSource, SuppressionType
from dripiq.engine.closing import reached_by
from dripiq.engine.dispatch.record import HandedOver
from dripiq.engine.react import react
from dripiq.repositories.intake import Suppression, upsert_suppressions
from dripiq.repositories.sending_lock import lock_exclusive

Refused = Mapping[str, Suppression]
"""Whom to write to no more, by the campaign whose message was refused for it."""


def refused_for_good(handed: Sequence[HandedOver], now: datetime) -> Refused:
    """Whom the outcomes of a sub-batch close."""
    return {h.ready.campaign_id: s for h in handed if (s := _suppression(h, now)) is not None}


def _suppression(handed: HandedOver, now: datetime) -> Suppression | None:
    kind = handed.outcome.closes if handed.outcome is not None else None
    if kind is None:
        return None
    # Who may not be written to because of a STOP of theirs said so in a text message.
    source = SuppressionSource.REPLY if kind is SuppressionType.UNSUBSCRIBE else SuppressionSource.WEBHOOK
    message = handed.ready.message
    return Suppression(message.channel, message.to_address, SuppressionScope.ADDRESS, kind, source, now)


def close(connection: Connection, tenant_id: str, refused: Refused, now: datetime) -> None:
    """Suppress these addresses, and stop the campaigns that write to them, but for those whose messages were refused: their plans answer `failed`, or they
    have ended in error.

    The transaction has done nothing but read so far.
    """
    suppressions = list(refused.values())
    lock_exclusive(connection, [(tenant_id, Channel(s.channel)) for s in suppressions])
    upsert_suppressions(connection, tenant_id, suppressions, now)
    stops: dict[str, list[Input]] = {
        campaign_id: [Stop(now, f"suppressed_{suppression.type}")]
        for suppression, campaigns in zip(suppressions, reached_by(connection, tenant_id, suppressions), strict=True)
        for campaign_id in campaigns
        if campaign_id not in refused
    }
    if stops:
        react(connection, tenant_id, stops, now)
