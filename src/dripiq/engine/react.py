"""What does a campaign do now?

The only writer of a campaign's state, and the only stage that others call, inside their own transaction. Locks the campaigns, asks the pure
machine, writes everything that it decided.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from dripiq.domain.events import Trigger
from dripiq.domain.machine import advance, looks_back
from dripiq.domain.moves import Decision, Happened, Input, Message, Stop
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

    def decided(campaign: LockedCampaign, recorded: Iterable[Happened] = ()) -> Decision:
        return advance(plans[campaign.plan_hash], campaign.state, inputs[campaign.id], recorded, now)

    first = [(campaign, decided(campaign)) for campaign in campaigns]
    back = {
        c.id: c.state.message
        for c, decision in first
        if c.state.message is not None and looks_back(plans[c.plan_hash], decision)
    }
    recorded = _recorded(connection, tenant_id, back.values())
    return [(c, decided(c, recorded[c.id]) if c.id in recorded else decision) for c, decision in first]


def _recorded(connection: Connection, tenant_id: str, messages: Collection[Message]) -> dict[str, list[Happened]]:
    """The stored events of these messages that may be handed in again, by campaign."""
    if not messages:
        return {}
    # A provider's clock may lag behind ours, by a second where it counts whole ones.
    since = min(message.accepted_at for message in messages) - timedelta(hours=1)
    return read_recorded(connection, tenant_id, messages, since)
