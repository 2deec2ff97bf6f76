"""What does a campaign do now?

The only writer of a campaign's state, and the only stage that others call, inside their own transaction. Locks the campaigns, asks the pure
machine, writes everything that it decided.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from dripiq.domain.events import Trigger
from dripiq.domain.machine import advance
from dripiq.domain.moves import Decision, Happened, Input, Replan, Stop, TimerDue
from dripiq.domain.plan.model import CONTACT_ZONE, Plan
from dripiq.engine.plan_cache import plans_of
from dripiq.repositories.journal import write_decisions
from dripiq.repositories.standing import LockedCampaign, lock_campaigns, read_colleagues, read_recorded, with_zones

Inputs = Mapping[str, Sequence[Input]]
"""What happened, by campaign id."""

COMPANY_REPLIED = "company_replied"
"""Why a campaign stopped whose contact's colleague replied."""


def react(connection: Connection, tenant_id: str, inputs: Inputs, now: datetime) -> dict[str, Decision]:
    """Let campaigns answer what happened to them, in the caller's transaction.

    Args:
        connection: in a transaction that holds no lock on actions or messages yet.
        inputs: what happened, by campaign id; campaigns that do not exist are passed over.
        now: the engine's time (aware, UTC).

    Returns:
        The decisions, by campaign id; they are written when this returns.
    """
    colleagues = read_colleagues(connection, tenant_id, replied_in(inputs))
    inputs = with_colleagues_stopped(inputs, colleagues, now)
    return answer(connection, tenant_id, lock_campaigns(connection, tenant_id, inputs), inputs, now)


def replied_in(inputs: Inputs) -> list[str]:
    """The campaigns whose contact has replied."""
    return [campaign_id for campaign_id, events in inputs.items() if _reply(events) is not None]


def with_colleagues_stopped(inputs: Inputs, colleagues: Mapping[str, Sequence[str]], now: datetime) -> Inputs:
    """The same inputs, and a stop for each colleague of who replied (`standing.read_colleagues`)."""
    found = {campaign_id: list(events) for campaign_id, events in inputs.items()}
    for campaign_id, others in colleagues.items():
        reply = _reply(inputs.get(campaign_id, ()))
        for other in others if reply is not None else ():
            found.setdefault(other, []).append(Stop(now, COMPANY_REPLIED, event_ref=reply.ref if reply else None))
    return found


def _reply(events: Iterable[Input]) -> Happened | None:
    return next((e for e in events if isinstance(e, Happened) and e.trigger is Trigger.REPLIED), None)


def answer(
    connection: Connection, tenant_id: str, campaigns: Sequence[LockedCampaign], inputs: Inputs, now: datetime
) -> dict[str, Decision]:
    """The same for campaigns that this transaction has locked already (`standing.lock_campaigns`)."""
    plans = plans_of(connection, tenant_id, ((campaign.id, campaign.plan_hash) for campaign in campaigns))
    decided = decide(connection, tenant_id, campaigns, inputs, plans, now)
    write_decisions(connection, tenant_id, decided, now)
    return {campaign.id: decision for campaign, decision in decided}


def decide(
    connection: Connection,
    tenant_id: str,
    campaigns: Sequence[LockedCampaign],
    inputs: Inputs,
    plans: Mapping[str, Plan],
    now: datetime,
) -> list[tuple[LockedCampaign, Decision]]:
    """What `answer` would write, with nothing written.

    Args:
        plans: by hash, at least those that the campaigns name.
    """
    local = {plan_hash for plan_hash, plan in plans.items() if plan.timezone == CONTACT_ZONE}
    campaigns = with_zones(connection, tenant_id, campaigns, local)
    recorded = _recorded(connection, tenant_id, campaigns, inputs)
    return [
        (
            campaign,
            advance(plans[campaign.plan_hash], campaign.state, inputs[campaign.id], recorded.get(campaign.id, ()), now),
        )
        for campaign in campaigns
    ]


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
        and any(isinstance(event, Happened | TimerDue | Replan) for event in inputs[campaign.id])
    ]
    if not messages:
        return {}
    # A provider's clock may lag behind ours, by a second where it counts whole ones.
    since = min(message.accepted_at for message in messages) - timedelta(hours=1)
    return read_recorded(connection, tenant_id, messages, since)
