"""What does a campaign do now?

The only writer of a campaign's state, and the only stage that others call, inside their own transaction. Locks the campaigns, asks the pure
machine, writes everything that it decided.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from dripiq.domain.machine import advance
from dripiq.domain.moves import Decision, Happened, Input, TimerDue
from dripiq.domain.plan.model import CONTACT_ZONE
from dripiq.engine.plan_cache import plans_of
from dripiq.repositories.journal import write_decisions
from dripiq.repositories.standing import LockedCampaign, lock_campaigns, read_recorded, with_zones

Inputs = Mapping[str, Sequence[Input]]
"""What happened, by campaign id."""


def react(connection: Connection, tenant_id: str, inputs: Inputs, now: datetime) -> dict[str, Decision]:
    """Let campaigns answer what happened to them, in the caller's transaction.

    Args:
        connection: in a transaction that holds no lock on actions or messages yet.
        inputs: what happened, by campaign id; campaigns that do not exist are passed over.
        now: the engine's time (aware, UTC).

    Returns:
        The decisions, by campaign id; they are written when this returns.
    """
    return answer(connection, tenant_id, lock_campaigns(connection, tenant_id, inputs), inputs, now)


def answer(
    connection: Connection, tenant_id: str, campaigns: Sequence[LockedCampaign], inputs: Inputs, now: datetime
) -> dict[str, Decision]:
    """The same for campaigns that this transaction has locked already (`standing.lock_campaigns`)."""
    plans = plans_of(connection, tenant_id, ((campaign.id, campaign.plan_hash) for campaign in campaigns))
    local = {plan_hash for plan_hash, plan in plans.items() if plan.timezone == CONTACT_ZONE}
    campaigns = with_zones(connection, tenant_id, campaigns, local)
    recorded = _recorded(connection, tenant_id, campaigns, inputs)
    decided = [
        (
            campaign,
            advance(plans[campaign.plan_hash], campaign.state, inputs[campaign.id], recorded.get(campaign.id, ()), now),
        )
        for campaign in campaigns
    ]
    write_decisions(connection, tenant_id, decided, now)
    return {campaign.id: decision for campaign, decision in decided}


def _recorded(
    connection: Connection,
    tenant_id: str,
    campaigns: Iterable[LockedCampaign],
    inputs: Inputs,
) -> dict[str, list[Happened]]:
    """The stored events that may be handed in again: an event or a timer enters a wait node with a message, or voids a timer that held events back."""
    messages = [
        campaign.state.message
        for campaign in campaigns
        if campaign.state.message is not None
        and any(isinstance(event, Happened | TimerDue) for event in inputs[campaign.id])
    ]
    if not messages:
        return {}
    # A provider's clock may lag behind ours, by a second where it counts whole ones.
    since = min(message.accepted_at for message in messages) - timedelta(hours=1)
    return read_recorded(connection, tenant_id, messages, since)
