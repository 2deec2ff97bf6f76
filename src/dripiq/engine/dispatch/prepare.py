"""Which of the claimed sends may leave, and as what text?

One transaction for the batch: the gates are passed or the send is held, put off, dropped or its campaign stopped, each with its reason; what may leave
is rendered and stored as `queued`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from dripiq.channels.base import OutgoingMessage
from dripiq.domain.addresses import domain_of
from dripiq.domain.errors import DripiqError
from dripiq.domain.gates import Closed, Effect, first_closed
from dripiq.domain.ids import send_key
from dripiq.domain.moves import IN_DOUBT, PAUSED, Input, Stop
from dripiq.domain.plan.model import Node
from dripiq.domain.render import render, render_subject
from dripiq.domain.states import ActionStatus, CampaignStatus, Channel
from dripiq.domain.variants import content_of
from dripiq.engine.gate_facts import read_gate_facts
from dripiq.engine.plan_cache import plans_of
from dripiq.engine.react import answer
from dripiq.repositories.outbox import (
    Draft,
    insert_prepared,
    read_sends,
    read_tenant,
)
from dripiq.repositories.queue import ClaimedAction, Lease, PutBack, put_back
from dripiq.repositories.sending_lock import lock_shared
from dripiq.repositories.standing import lock_campaigns
from dripiq.schema.ids import new_ids

Unsubscribe = Callable[[str, str], str]
"""Makes the unsubscribe link of (tenant_id, address)."""


@dataclass(frozen=True, slots=True)
class Ready:
    """One message that may leave, and the action and campaign it belongs to."""

    action_id: str
    campaign_id: str
    node_id: str
    visit: int
    message: OutgoingMessage


@dataclass(frozen=True, slots=True)
class _Batch:
    """What holds for all sends of one lease over one channel."""

    lease: Lease
    channel: Channel
    provider: str
    now: datetime
    unsubscribe: Unsubscribe | None
    tenant: dict[str, Any]
    paused: bool


def prepare(
    connection: Connection,
    lease: Lease,
    actions: Sequence[ClaimedAction],
    providers: Mapping[Channel, str],
    now: datetime,
    unsubscribe: Unsubscribe | None,
) -> dict[Channel, list[Ready]]:
    """Judge claimed sends and store those that may leave; the others go back or end here, with a reason.

    Args:
        providers: the name of the provider that carries each channel; a send over another channel is held as `no_channel`.
    """
    found = read_tenant(connection, lease.tenant_id)
    if found is None:
        return {}
    tenant, paused = found
    if paused:
        # What is held for the kill switch is released with it: read it again where it cannot turn before this commits.
        for channel in sorted(providers):
            lock_shared(connection, lease.tenant_id, channel)
        _, paused = read_tenant(connection, lease.tenant_id) or found
    rows = read_sends(connection, lease.tenant_id, lease.token, [action.id for action in actions])
    unserved = [PutBack(row.action_id, ActionStatus.HELD, "no_channel") for row in rows if row.channel not in providers]
    put_back(connection, lease, unserved, now)
    ready = {}
    for channel, provider in providers.items():
        if ours := [row for row in rows if row.channel == channel]:
            batch = _Batch(lease, channel, provider, now, unsubscribe, tenant, paused)
            ready[channel] = _prepare_channel(connection, batch, ours)
    return ready


def _prepare_channel(connection: Connection, batch: _Batch, rows: Sequence[Any]) -> list[Ready]:
    tenant_id = batch.lease.tenant_id
    plans = plans_of(connection, tenant_id, ((row.campaign_id, row.plan_hash) for row in rows))
    rows = [row for row in rows if row.plan_hash in plans]  # the others' campaigns were deleted since
    nodes = [plans[row.plan_hash].nodes.get(row.node_id) for row in rows]
    facts = read_gate_facts(
        connection,
        tenant_id,
        batch.channel,
        tenant_paused=batch.paused,
        addresses=[row.address for row in rows],
        sender_ids=[*(row.sender_identity_id for row in rows), *(n.sender_identity_id for n in nodes if n is not None)],
        now=batch.now,
    )
    stops: dict[str, list[Input]] = {}
    back: list[PutBack] = []
    paused: list[Any] = []
    drafts: list[tuple[Any, Draft, OutgoingMessage]] = []
    for row, node, message_id in zip(rows, nodes, new_ids(len(rows)), strict=True):
        sender = facts.sender_of(row, node)
        closed = first_closed(facts.of(row, node, sender, batch.now), plans[row.plan_hash], batch.now)
        if closed is None and node is not None:
            try:
                drafts.append((row, *_draft(batch, row, node, sender, message_id)))
            except DripiqError as error:
                back.append(PutBack(row.action_id, ActionStatus.HELD, error.error_code, last_error=error.message))
        elif closed is not None and closed.effect is Effect.STOP:
            stops[row.campaign_id] = [Stop(batch.now, closed.code)]
        elif closed is not None and closed.code == PAUSED:
            paused.append(row)
        elif closed is not None:
            back.append(_put_back(row.action_id, closed))
    back += _settle_with_campaigns(connection, tenant_id, stops, paused, batch.now)
    # Campaigns, then actions, then messages: only what turns out to be in doubt goes back after its message was looked at.
    put_back(connection, batch.lease, back, batch.now)
    stored = insert_prepared(
        connection, tenant_id, batch.channel, batch.provider, [draft for _, draft, _ in drafts], batch.now
    )
    doubted = [(row, draft) for row, draft, _ in drafts if draft.dedupe_key not in stored]
    put_back(
        connection, batch.lease, [PutBack(r.action_id, ActionStatus.HELD, IN_DOUBT) for r, _ in doubted], batch.now
    )
    return [
        _ready(row, message, stored[draft.dedupe_key]) for row, draft, message in drafts if draft.dedupe_key in stored
    ]


def _settle_with_campaigns(
    connection: Connection, tenant_id: str, stops: dict[str, list[Input]], paused: Sequence[Any], now: datetime
) -> list[PutBack]:
    """Stop the campaigns that must stop, and hold the sends of those that are paused, seen under their lock: a resume meanwhile releases nothing yet."""
    if not stops and not paused:
        return []
    locked = lock_campaigns(connection, tenant_id, {*stops, *(row.campaign_id for row in paused)})
    answer(connection, tenant_id, [campaign for campaign in locked if campaign.id in stops], stops, now)
    still_paused = {campaign.id for campaign in locked if campaign.state.status is CampaignStatus.PAUSED}
    return [
        PutBack(row.action_id, ActionStatus.HELD, PAUSED)
        if row.campaign_id in still_paused
        else PutBack(row.action_id, ActionStatus.PENDING, "resumed_meanwhile")
        for row in paused
    ]


def _draft(batch: _Batch, row: Any, node: Node, sender: Any, message_id: str) -> tuple[Draft, OutgoingMessage]:
    """Render one message. Raises DripiqError where a value is missing or the template cannot be rendered."""
    tenant_id = batch.lease.tenant_id
    link = batch.unsubscribe(tenant_id, row.address) if batch.unsubscribe is not None else None
    context = {
        "contact": row.contact,
        "lead": row.lead,
        "tenant": batch.tenant,
        "sender": {"email": sender.from_email, "name": sender.from_name},
        "unsubscribe_url": link,
    }
    content = content_of(node, row.contact_id)
    message = OutgoingMessage(
        id=message_id,
        tenant_id=tenant_id,
        channel=Channel(row.channel),
        to_address=row.address,
        to_name=row.contact.get("name"),
        from_address=sender.from_email,
        from_name=sender.from_name,
        reply_to=sender.reply_to,
        subject=render_subject(content.subject, context) if content.subject is not None else None,
        body=render(content.body or "", context),
        message_id=f"{message_id}@{domain_of(sender.from_email)}",
        unsubscribe_url=link,
    )
    draft = Draft(
        id=message_id,
        campaign_id=row.campaign_id,
        contact_id=row.contact_id,
        node_id=row.node_id,
        visit=row.visit,
        sender_id=sender.id,
        to_address=row.address,
        subject=message.subject,
        body=content.body or "",
        rendered_body=message.body,
        smtp_id=message.message_id,
        scheduled_at=row.run_at,
        dedupe_key=send_key(row.campaign_id, row.contact_id, row.node_id, row.visit, row.channel),
    )
    return draft, message


def _put_back(action_id: str, closed: Closed) -> PutBack:
    status = {Effect.HOLD: ActionStatus.HELD, Effect.PUT_OFF: ActionStatus.PENDING, Effect.DROP: ActionStatus.CANCELED}
    return PutBack(action_id, status[closed.effect], closed.code, closed.until)


def _ready(row: Any, message: OutgoingMessage, stored: tuple[str, str]) -> Ready:
    """The message under the id of its row, which may be that of an earlier attempt."""
    message_id, smtp_id = stored
    return Ready(
        row.action_id, row.campaign_id, row.node_id, row.visit, replace(message, id=message_id, message_id=smtp_id)
    )
