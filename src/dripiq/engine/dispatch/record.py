"""What came of the hand-overs, and what follows?

One transaction for a sub-batch: campaigns are locked first, then messages get their outcome (fenced by the attempt), campaigns answer, and actions go back
where the lease still holds them. Accepted is a fact whoever holds the lease; everything else is only said by its holder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from dripiq.channels.base import Outcome, Verdict
from dripiq.domain.moves import IN_DOUBT, SEND, Accepted, ActionRef, Input, Refused
from dripiq.domain.states import ActionStatus, MessageStatus
from dripiq.domain.timing import MAX_ATTEMPTS, retry_at
from dripiq.engine.dispatch.prepare import Ready
from dripiq.engine.react import answer
from dripiq.repositories.outbox import Attempt, record_accepted, record_refused
from dripiq.repositories.queue import Lease, PutBack, put_back
from dripiq.repositories.standing import LockedCampaign, lock_campaigns


@dataclass(frozen=True, slots=True)
class HandedOver:
    """One hand-over: what was sent, as which attempt, and what the provider said."""

    ready: Ready
    attempts: int
    outcome: Outcome


def record(connection: Connection, lease: Lease, handed: Sequence[HandedOver], now: datetime) -> None:
    """Write the outcomes of a sub-batch and let the campaigns answer them."""
    campaigns = lock_campaigns(connection, lease.tenant_id, [h.ready.campaign_id for h in handed])
    by_id = {campaign.id: campaign for campaign in campaigns}
    inputs: dict[str, list[Input]] = {}
    accepted = [h for h in handed if h.outcome.verdict is Verdict.ACCEPTED]
    if accepted:
        known = record_accepted(connection, lease.tenant_id, [_attempt(h, MessageStatus.SENT) for h in accepted], now)
        for h in accepted:
            if h.ready.message.id in known:
                arrived = Accepted(now, h.ready.message.id, h.ready.node_id, h.ready.visit)
                inputs.setdefault(h.ready.campaign_id, []).append(arrived)
    back: list[PutBack] = []
    others = [(h, _status_after(h, by_id)) for h in handed if h.outcome.verdict is not Verdict.ACCEPTED]
    if others:
        ours = record_refused(connection, lease.tenant_id, [_attempt(h, status) for h, status in others], now)
        for h, status in others:
            if h.ready.message.id not in ours:
                continue
            if status is MessageStatus.FAILED:
                refused = Refused(now, h.ready.node_id, h.ready.visit, h.outcome.code or "refused")
                inputs.setdefault(h.ready.campaign_id, []).append(refused)
            elif status is not MessageStatus.SKIPPED:
                back.append(_put_back(h, status, now))
    answer(connection, lease.tenant_id, [c for c in campaigns if c.id in inputs], inputs, now)
    put_back(connection, lease, back, now)


def _status_after(handed: HandedOver, campaigns: Mapping[str, LockedCampaign]) -> MessageStatus:
    """The message's status after an outcome that is not acceptance."""
    match handed.outcome.verdict:
        case Verdict.UNKNOWN:
            return MessageStatus.IN_DOUBT
        case Verdict.TEMPORARY if handed.attempts < MAX_ATTEMPTS:
            ref = ActionRef(handed.ready.node_id, handed.ready.visit, SEND)
            campaign = campaigns.get(handed.ready.campaign_id)
            wanted = campaign is not None and ref in campaign.action_ids
            return MessageStatus.QUEUED if wanted else MessageStatus.SKIPPED
        case _:
            return MessageStatus.FAILED


def _attempt(handed: HandedOver, status: MessageStatus) -> Attempt:
    outcome = handed.outcome
    return Attempt(outcome.id, handed.attempts, status, outcome.provider_message_id, outcome.code, outcome.detail)


def _put_back(handed: HandedOver, status: MessageStatus, now: datetime) -> PutBack:
    if status is MessageStatus.IN_DOUBT:
        return PutBack(handed.ready.action_id, ActionStatus.HELD, IN_DOUBT, last_error=handed.outcome.detail)
    return PutBack(
        handed.ready.action_id,
        ActionStatus.PENDING,
        "refused_for_now",
        retry_at(now, handed.attempts),
        handed.outcome.detail,
    )
