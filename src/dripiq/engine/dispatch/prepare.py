"""Which of the claimed sends may leave, and as what text?

One transaction for the batch: the gates are passed or the send is held, put off, dropped or its campaign stopped, each with its reason; what may leave
is rendered and stored as `queued`.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection

from dripiq.channels.base import OutgoingMessage
from dripiq.domain.accounts import Account
from dripiq.domain.buckets import Booking
from dripiq.domain.errors import DripiqError
from dripiq.domain.gates import Closed, Effect, first_closed
from dripiq.domain.moves import IN_DOUBT, PAUSED, Contact, Input, Stop
from dripiq.domain.plan.model import Plan
from dripiq.domain.reply_address import ReplyAddresses
from dripiq.domain.states import ActionStatus, CampaignStatus, Channel
from dripiq.engine.dispatch.draft import Letterhead, Track, Unsubscribe, draft
from dripiq.engine.gate_facts import read_gate_facts
from dripiq.engine.plan_cache import plans_of
from dripiq.engine.react import answer
from dripiq.engine.threads import read_threads
from dripiq.repositories.outbox import Draft, Stored, insert_prepared
from dripiq.repositories.preparing import read_sends, read_tenant
from dripiq.repositories.queue import ClaimedAction, Lease, PutBack, lock_leased, put_back
from dripiq.repositories.sending_lock import lock_shared
from dripiq.repositories.standing import lock_campaigns
from dripiq.schema.ids import new_ids


@dataclass(frozen=True, slots=True)
class Ready:
    """One message that may leave, and the action and campaign it belongs to; what limits it, the slot that it has booked, and
    the account that it leaves over, where its sender has one of its own."""

    action_id: str
    campaign_id: str
    node_id: str
    visit: int
    message: OutgoingMessage
    sender_id: str
    plan: Plan
    contact: Contact
    booking: Booking | None
    account: Account | None = None


@dataclass(frozen=True, slots=True)
class _Batch:
    """What holds for all sends of one lease over one channel."""

    lease: Lease
    channel: Channel
    provider: str
    head: Letterhead
    paused: bool
    own_provider: str | None

    @property
    def now(self) -> datetime:
        return self.head.now


@dataclass(slots=True)
class _Judged:
    """What the gates made of one channel's sends: to be handed over, to go back, their campaigns to be stopped, or seen to be paused."""

    batch: _Batch
    plans: Mapping[str, Plan]
    drafts: list[tuple[Any, Draft, OutgoingMessage]] = field(default_factory=list)
    back: list[PutBack] = field(default_factory=list)
    stops: dict[str, list[Input]] = field(default_factory=dict)
    paused: list[Any] = field(default_factory=list)


def prepare(
    connection: Connection,
    lease: Lease,
    actions: Sequence[ClaimedAction],
    providers: Mapping[Channel, str],
    now: datetime,
    unsubscribe: Unsubscribe | None,
    track: Track | None = None,
    replies: ReplyAddresses | None = None,
    own_provider: str | None = None,
) -> dict[Channel, list[Ready]]:
    """Judge claimed sends and store those that may leave; the others go back or end here, with a reason.

    Args:
        providers: the name of the provider that carries each channel; a send over another channel is held as `no_channel`.
        own_provider: the name of what carries the mail of senders with accounts of their own; None: it leaves as the others'.
        track: makes what is handed over tell of opens and clicks; what is stored stays as it was rendered.
        replies: gives e-mail whose sender has no reply address an address of its own to be answered at.
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
    head = Letterhead(lease.tenant_id, tenant, now, unsubscribe)
    judged = [
        _judge(connection, _Batch(lease, channel, provider, head, paused, own_provider), ours)
        for channel, provider in sorted(providers.items())  # as everybody takes the channels' locks
        if (ours := [row for row in rows if row.channel == channel])
    ]
    # Campaigns, then actions, then messages, over all channels: only what turns out to be in doubt goes back after its message was looked at.
    back = unserved + [each for one in judged for each in one.back]
    back += _settle_with_campaigns(connection, lease.tenant_id, judged, now)
    # Who stops a campaign from here on waits, and sees its message; what was stopped before is prepared no more.
    held = lock_leased(connection, lease, [row.action_id for row in rows], now)
    put_back(connection, lease, back, now)
    return {one.batch.channel: _store(connection, one, held, track, replies) for one in judged}


def _judge(connection: Connection, batch: _Batch, rows: Sequence[Any]) -> _Judged:
    """Hold the sends of one channel against the gates, and render those that may leave; nothing is locked or written."""
    tenant_id = batch.lease.tenant_id
    plans = plans_of(connection, tenant_id, ((row.campaign_id, row.plan_hash) for row in rows))
    rows = [row for row in rows if row.plan_hash in plans]  # the others' campaigns were deleted since
    nodes = [plans[row.plan_hash].nodes.get(row.node_id) for row in rows]
    threads = read_threads(
        connection,
        tenant_id,
        ((row.campaign_id, node, plans[row.plan_hash]) for row, node in zip(rows, nodes, strict=True)),
    )
    read_facts = partial(
        read_gate_facts,
        connection,
        tenant_id,
        batch.channel,
        tenant_paused=batch.paused,
        addresses=[row.address for row in rows],
        sender_ids=[
            *(row.sender_identity_id for row in rows),
            *(node.sender_identity_id for node in nodes if node is not None),
            *(thread.last.sender_id for thread in threads.values()),
        ],
        now=batch.now,
    )
    facts = read_facts()
    sent_by = [facts.sender_of(row, node, threads.get(row.campaign_id)) for row, node in zip(rows, nodes, strict=True)]
    if any(sender is not None and sender.paused_at is not None for sender in sent_by):
        # What is held for a sender is released with it: read it again where it cannot turn before this commits.
        lock_shared(connection, tenant_id, batch.channel)
        facts = read_facts()
    judged = _Judged(batch, plans)
    for row, node, message_id in zip(rows, nodes, new_ids(len(rows)), strict=True):
        thread = threads.get(row.campaign_id)
        sender = facts.sender_of(row, node, thread)
        closed = first_closed(facts.of(row, node, sender, batch.now), plans[row.plan_hash], batch.now)
        if closed is None and node is not None:
            try:
                judged.drafts.append((row, *draft(batch.head, row, node, sender, thread, message_id)))
            except DripiqError as error:
                judged.back.append(
                    PutBack(row.action_id, ActionStatus.HELD, error.error_code, last_error=error.message)
                )
        elif closed is not None and closed.effect is Effect.STOP:
            judged.stops[row.campaign_id] = [Stop(batch.now, closed.code)]
        elif closed is not None and closed.code == PAUSED:
            judged.paused.append(row)
        elif closed is not None:
            judged.back.append(_put_back(row.action_id, closed))
    return judged


def _store(
    connection: Connection, judged: _Judged, held: Container[str], track: Track | None, replies: ReplyAddresses | None
) -> list[Ready]:
    """Store what may leave as `queued`, as far as the lease still holds it."""
    batch, drafts = judged.batch, [each for each in judged.drafts if each[0].action_id in held]
    stored: dict[str, Stored] = {}
    for provider in {batch.provider, batch.own_provider or batch.provider}:
        theirs = [each for _, each, _ in drafts if _provider_of(batch, each) == provider]
        stored |= insert_prepared(connection, batch.lease.tenant_id, batch.channel, provider, theirs, batch.now)
    doubted = [row for row, each, _ in drafts if each.dedupe_key not in stored]
    put_back(
        connection, batch.lease, [PutBack(row.action_id, ActionStatus.HELD, IN_DOUBT) for row in doubted], batch.now
    )
    return [
        _ready(
            row,
            each if batch.own_provider is not None else replace(each, account=None),
            message,
            stored[each.dedupe_key],
            judged.plans[row.plan_hash],
            track,
            replies,
        )
        for row, each, message in drafts
        if each.dedupe_key in stored
    ]


def _provider_of(batch: _Batch, drafted: Draft) -> str:
    return batch.own_provider if batch.own_provider is not None and drafted.account is not None else batch.provider


def _settle_with_campaigns(
    connection: Connection, tenant_id: str, judged: Sequence[_Judged], now: datetime
) -> list[PutBack]:
    """Stop the campaigns that must stop, and hold the sends of those that are paused, seen under their lock: a resume meanwhile releases nothing yet."""
    stops = {campaign_id: inputs for one in judged for campaign_id, inputs in one.stops.items()}
    paused = [row for one in judged for row in one.paused]
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


def _put_back(action_id: str, closed: Closed) -> PutBack:
    status = {Effect.HOLD: ActionStatus.HELD, Effect.PUT_OFF: ActionStatus.PENDING, Effect.DROP: ActionStatus.CANCELED}
    return PutBack(action_id, status[closed.effect], closed.code, closed.until)


def _ready(
    row: Any,
    drafted: Draft,
    message: OutgoingMessage,
    stored: Stored,
    plan: Plan,
    track: Track | None,
    replies: ReplyAddresses | None,
) -> Ready:
    """The message under the id of its row, which may be that of an earlier attempt."""
    html = message.html
    if track is not None and html is not None:
        html = track(message.tenant_id, stored.id, html)
    reply_to = message.reply_to
    if replies is not None and reply_to is None and message.channel is Channel.EMAIL:
        reply_to = replies.of(stored.id)
    return Ready(
        row.action_id,
        row.campaign_id,
        row.node_id,
        row.visit,
        replace(message, id=stored.id, message_id=stored.smtp_id, html=html, reply_to=reply_to),
        drafted.sender_id,
        plan,
        Contact(row.contact_id, row.contact.get("timezone")),
        stored.booking,
        drafted.account,
    )
