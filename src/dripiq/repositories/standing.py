"""Where do campaigns stand?

Reads campaigns as the machine's `State`, hundreds a statement. Locks are taken in one order everywhere: campaigns (by id), then actions, then
messages. The campaigns are locked by a statement of their own, and everything else is read by later ones: a joined read in the locking statement
could be older than the lock.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from dripiq.domain.events import EventType, Trigger
from dripiq.domain.moves import SEND, ActionRef, Cause, Contact, Happened, Message, OpenAction, State
from dripiq.domain.states import CampaignStatus, Confidence

LOCK_CAMPAIGNS = text(
    """
    SELECT id, status, current_node_id, visit, visits, node_entered_at, transition_seq, plan_hash, started_at, contact_id
    FROM dripiq_app.contact_campaigns
    WHERE tenant_id = :tenant_id AND id = ANY (CAST(:ids AS text[]))
    ORDER BY id
    FOR NO KEY UPDATE
    """
)

READ_OPEN_ACTIONS = text(
    """
    SELECT id, contact_campaign_id, node_id, visit, coalesce(payload ->> 'timer', 'send') AS name, run_at, status, reason
    FROM dripiq_app.scheduled_actions
    WHERE tenant_id = :tenant_id AND contact_campaign_id = ANY (CAST(:ids AS text[])) AND status IN ('pending', 'queued', 'held')
    ORDER BY id
    FOR NO KEY UPDATE
    """
)
"""Locked with their campaigns: whoever goes on to messages holds the actions before them."""

READ_LAST_SENT = text(
    """
    SELECT campaign.id, message.id AS message_id, message.node_id, message.visit, message.sent_at, last_move.event_ref, last_move.trigger
    FROM unnest(CAST(:ids AS text[]), CAST(:seqs AS int[]), CAST(:started_ats AS timestamptz[])) AS campaign (id, seq, started_at)
    LEFT JOIN LATERAL (
        SELECT id, node_id, visit, sent_at FROM dripiq_app.outbound_messages
        WHERE tenant_id = :tenant_id AND contact_campaign_id = campaign.id AND sent_at IS NOT NULL
            AND created_at >= campaign.started_at
        ORDER BY visit DESC LIMIT 1
    ) AS message ON true
    LEFT JOIN dripiq_app.campaign_transitions AS last_move
        ON last_move.tenant_id = :tenant_id AND last_move.contact_campaign_id = campaign.id AND last_move.seq = campaign.seq
    """
)

"""The last message sent in this enrolment: one of an earlier enrolment belongs to the past."""

READ_PLANS = text(
    """
    SELECT DISTINCT ON (plan_hash) plan_hash, plan_json FROM dripiq_app.contact_campaigns
    WHERE tenant_id = :tenant_id AND id = ANY (CAST(:ids AS text[]))
    """
)

READ_ZONES = text(
    """
    SELECT id, record ->> 'timezone' AS timezone FROM dripiq_app.tenant_contacts
    WHERE tenant_id = :tenant_id AND id = ANY (CAST(:contact_ids AS text[]))
    """
)

READ_COLLEAGUES = text(
    """
    SELECT replied.id AS replied_id, other.id
    FROM (
        SELECT id, lead_id FROM dripiq_app.contact_campaigns
        WHERE tenant_id = :tenant_id AND id = ANY (CAST(:ids AS text[])) AND plan_json -> 'stopCompanyOnReply' = 'true'
        OFFSET 0
    ) AS replied
    CROSS JOIN LATERAL (
        SELECT id FROM dripiq_app.contact_campaigns
        WHERE tenant_id = :tenant_id AND lead_id = replied.lead_id AND id <> replied.id AND status IN ('draft', 'active', 'paused')
        OFFSET 0
    ) AS other
    ORDER BY other.id
    """
)
"""First who replied on a plan that says so, then the few of the same lead: as one join, the planner may walk all the tenant's active campaigns."""

READ_RECORDED = text(
    """
    SELECT event.id, event.contact_campaign_id, event.outbound_message_id, event.event_type, event.event_at, event.confidence,
        taken.trigger AS taken_as
    FROM dripiq_app.message_events AS event
    LEFT JOIN LATERAL (
        SELECT trigger FROM dripiq_app.campaign_transitions AS move
        WHERE move.tenant_id = :tenant_id AND move.contact_campaign_id = event.contact_campaign_id AND move.event_ref = event.id
        ORDER BY seq DESC LIMIT 1
    ) AS taken ON true
    WHERE event.tenant_id = :tenant_id AND event.outbound_message_id = ANY (CAST(:message_ids AS text[])) AND event.event_at >= :since
    """
)


@dataclass(frozen=True, slots=True)
class LockedCampaign:
    """One campaign that this transaction has locked, as the machine sees it."""

    id: str
    plan_hash: str
    state: State
    action_ids: Mapping[ActionRef, str]


def lock_campaigns(connection: Connection, tenant_id: str, campaign_ids: Iterable[str]) -> list[LockedCampaign]:
    """Lock campaigns in the order of their ids, and read where they stand. What does not exist is left out."""
    rows = connection.execute(LOCK_CAMPAIGNS, {"tenant_id": tenant_id, "ids": sorted(set(campaign_ids))}).all()
    if not rows:
        return []
    ids = [row.id for row in rows]
    actions: dict[str, list[Any]] = {}
    for action in connection.execute(READ_OPEN_ACTIONS, {"tenant_id": tenant_id, "ids": ids}):
        actions.setdefault(action.contact_campaign_id, []).append(action)
    last = connection.execute(
        READ_LAST_SENT,
        {
            "tenant_id": tenant_id,
            "ids": ids,
            "seqs": [r.transition_seq for r in rows],
            "started_ats": [r.started_at for r in rows],
        },
    )
    sent = {row.id: row for row in last}
    return [_locked(row, actions.get(row.id, ()), sent[row.id]) for row in rows]


def _locked(row: Any, actions: Sequence[Any], last: Any) -> LockedCampaign:
    ids = {ActionRef(a.node_id, a.visit, a.name): a.id for a in actions}
    return LockedCampaign(row.id, row.plan_hash, state_of(row, actions, last), ids)


def state_of(row: Any, actions: Iterable[Any], last: Any) -> State:
    """A campaign as the machine sees it, from its row, its open actions, and its row of `READ_LAST_SENT`."""
    refs = {ActionRef(a.node_id, a.visit, a.name): a for a in actions}
    state = State(
        status=CampaignStatus(row.status),
        node_id=row.current_node_id,
        visit=row.visit,
        visits=row.visits,
        entered_at=row.node_entered_at,
        seq=row.transition_seq,
        message=Message(last.message_id, last.sent_at, last.node_id, last.visit)
        if last.message_id is not None
        else None,
        actions=tuple(OpenAction(ref, a.run_at, a.reason if a.status == "held" else None) for ref, a in refs.items()),
        cause=Cause(last.event_ref, last.trigger) if last.event_ref is not None else None,
        contact=Contact(row.contact_id),
    )
    if any(ref.name == SEND and ref.visit == row.visit != last.visit for ref in refs):
        state = replace(
            state, message=None, earlier=state.message
        )  # on a send before its hand-over, no message is the present visit's
    return state


def read_plans(connection: Connection, tenant_id: str, campaign_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The plans of these campaigns, by hash."""
    rows = connection.execute(READ_PLANS, {"tenant_id": tenant_id, "ids": list(campaign_ids)})
    return {row.plan_hash: row.plan_json for row in rows}


def with_zones(
    connection: Connection, tenant_id: str, campaigns: Sequence[LockedCampaign], plan_hashes: Container[str]
) -> list[LockedCampaign]:
    """The campaigns, those on one of these plans with their contact's time zone."""
    asked = [campaign.state.contact.id for campaign in campaigns if campaign.plan_hash in plan_hashes]
    if not asked:
        return list(campaigns)
    rows = connection.execute(READ_ZONES, {"tenant_id": tenant_id, "contact_ids": asked})
    zones = {row.id: row.timezone for row in rows}
    return [
        replace(c, state=replace(c.state, contact=Contact(c.state.contact.id, zones.get(c.state.contact.id))))
        for c in campaigns
    ]


def read_colleagues(connection: Connection, tenant_id: str, campaign_ids: Iterable[str]) -> dict[str, list[str]]:
    """For each of these campaigns whose plan says `stopCompanyOnReply`: the open campaigns of the same lead's other contacts."""
    ids = sorted(set(campaign_ids))
    found: dict[str, list[str]] = {}
    if ids:
        for row in connection.execute(READ_COLLEAGUES, {"tenant_id": tenant_id, "ids": ids}):
            found.setdefault(row.replied_id, []).append(row.id)
    return found


def read_recorded(
    connection: Connection, tenant_id: str, messages: Iterable[Message], since: datetime
) -> dict[str, list[Happened]]:
    """The recorded events of these messages at or after `since` that a plan can answer, by campaign."""
    ids = [message.id for message in messages]
    found: dict[str, list[Happened]] = {}
    for row in connection.execute(READ_RECORDED, {"tenant_id": tenant_id, "message_ids": ids, "since": since}):
        trigger = trigger_of(row.event_type)
        if trigger is not None:
            event = Happened(
                row.event_at, trigger, row.outbound_message_id, row.id, Confidence(row.confidence), row.taken_as
            )
            found.setdefault(row.contact_campaign_id, []).append(event)
    return found


def trigger_of(event_type: str) -> Trigger | None:
    """What a plan calls an event of this type, if it can answer it."""
    if event_type == EventType.DROPPED:
        return Trigger.FAILED
    return Trigger(event_type) if event_type in Trigger.__members__.values() else None
