"""How is an address closed, from one instant on?

Its suppression is written, and the campaigns that write to it end in the same transaction: the sending lock, then the campaigns by id, then what is theirs,
and the suppressions last, as by everybody who writes them.
What a campaign that begins or moves meanwhile would still send is stopped by the gates, which look again.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from dripiq.channels.own_events import PROVIDER
from dripiq.domain.events import EventType, Trigger
from dripiq.domain.moves import Happened, Input, Stop
from dripiq.domain.states import Channel, Confidence, SuppressionScope, SuppressionSource, SuppressionType
from dripiq.engine.caller import connection_of, time_of
from dripiq.engine.react import answer, react
from dripiq.repositories.intake import EventRow, Suppression, insert_events, upsert_suppressions
from dripiq.repositories.reaching import find_reaching
from dripiq.repositories.sending_lock import lock_exclusive
from dripiq.repositories.standing import LockedCampaign, lock_campaigns
from dripiq.schema.ids import new_id


def suppress(
    caller: Connection | Session,
    tenant_id: str,
    values: Sequence[str],
    *,
    now: datetime | None = None,
    channel: Channel = Channel.EMAIL,
    scope: SuppressionScope = SuppressionScope.ADDRESS,
    kind: SuppressionType = SuppressionType.MANUAL,
    source: SuppressionSource = SuppressionSource.MANUAL,
) -> None:
    """Suppress addresses (or whole domains) of a tenant, and stop the campaigns that write to them. Once the caller's COMMIT has returned, no message
    to them becomes `sending`; what is in hand-over at that moment (one sub-batch at most) may leave.

    Must be the first statement of its transaction (it takes the tenant's sending lock exclusively, then locks campaigns); until that transaction ends, the
    tenant's sending on this channel waits. So keep it short.

    Args:
        values: stored forms (`addresses.normalise_email`), or domains in lower case where `scope` is domain.
        now: the time (aware, UTC) at which this happens; None for the database's.
    """
    connection = connection_of(caller)
    lock_exclusive(connection, [(tenant_id, channel)])
    now = time_of(connection, now)
    if scope is SuppressionScope.ADDRESS:
        reached, code = find_reaching(connection, tenant_id, channel, values), f"suppressed_{kind}"
    else:
        reached, code = find_reaching(connection, tenant_id, channel, domains=values), f"suppressed_domain_{kind}"
    if reached:
        react(connection, tenant_id, {campaign_id: [Stop(now, code)] for campaign_id in reached}, now)
    wanted = [Suppression(str(channel), value, str(scope), str(kind), str(source), now) for value in values]
    upsert_suppressions(connection, tenant_id, wanted, now)


def unsubscribe(
    caller: Connection | Session, tenant_id: str, address: str, *, channel: Channel, now: datetime | None = None
) -> None:
    """Suppress an address whose owner has used its unsubscribe link; its open campaigns hear `unsubscribed`, and answer as their plans say or stop.

    As `suppress` in everything else; the same again changes nothing more.
    """
    connection = connection_of(caller)
    lock_exclusive(connection, [(tenant_id, channel)])
    now = time_of(connection, now)
    reached = find_reaching(connection, tenant_id, channel, [address])
    campaigns = [c for c in lock_campaigns(connection, tenant_id, reached) if not c.state.status.is_final]
    events = {campaign.id: _unsubscribed(campaign, now) for campaign in campaigns}
    insert_events(connection, tenant_id, list(events.values()), now)
    inputs: dict[str, list[Input]] = {
        id: [Happened(now, Trigger.UNSUBSCRIBED, event.message_id or "", event.id, Confidence.HUMAN)]
        for id, event in events.items()
    }
    answer(connection, tenant_id, campaigns, inputs, now)
    kind, source = SuppressionType.UNSUBSCRIBE, SuppressionSource.LINK
    closed = Suppression(str(channel), address, str(SuppressionScope.ADDRESS), str(kind), str(source), now)
    upsert_suppressions(connection, tenant_id, [closed], now)


def _unsubscribed(campaign: LockedCampaign, now: datetime) -> EventRow:
    """The event, of the last message that the campaign sent: a link names an address, and no message."""
    last = campaign.state.message or campaign.state.earlier
    event_id = new_id()
    return EventRow(
        id=event_id,
        message_id=last.id if last is not None else None,
        campaign_id=campaign.id,
        provider=PROVIDER,
        type=str(EventType.UNSUBSCRIBED),
        at=now,
        url=None,
        ip=None,
        user_agent=None,
        event_id=event_id,
        payload="{}",
        confidence=str(Confidence.HUMAN),
    )
