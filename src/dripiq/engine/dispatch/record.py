"""What came of the hand-overs, and what follows?

One transaction for a sub-batch: campaigns are locked first, then messages get their outcome (fenced by the attempt), campaigns answer, and actions go back
where the lease still holds them. What is known of a hand-over is written whoever holds the lease by now: the attempt's number is the fence, and a doubt
ends with it.

Whom a refusal closes is suppressed in the same transaction, and whoever else writes there is stopped: nothing of it can be lost. It takes no sending lock,
which somebody may hold for long, and which no outcome must wait for: that lock is for who promises that after its COMMIT nothing leaves any more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from dripiq.channels.base import Outcome, Verdict
from dripiq.domain.moves import IN_DOUBT, SEND, Accepted, ActionRef, Input, Refused, Stop
from dripiq.domain.states import ActionStatus, MessageStatus, SuppressionScope, SuppressionSource, SuppressionType
from dripiq.domain.timing import MAX_ATTEMPTS, retry_at
from dripiq.engine.closing import reached_by
from dripiq.engine.dispatch.prepare import Ready
from dripiq.engine.react import answer
from dripiq.repositories.intake import Suppression, upsert_suppressions
from dripiq.repositories.outbox import Attempt, record_accepted, record_refused
from dripiq.repositories.queue import Lease, PutBack, put_back
from dripiq.repositories.standing import LockedCampaign, lock_campaigns


@dataclass(frozen=True, slots=True)
class HandedOver:
    """One message that was committed to sending: as which attempt, and what the provider said; None where it was not handed over at all."""

    ready: Ready
    attempts: int
    outcome: Outcome | None


def record(
    connection: Connection, lease: Lease, handed: Sequence[HandedOver], now: datetime, *, stops_others: bool = True
) -> None:
    """Write the outcomes of a sub-batch and let the campaigns answer them; close whom a provider refused for good. The transaction has done nothing but
    read so far.

    Args:
        stops_others: whoever else writes to a closed address is stopped at once, for which its campaign is locked, and not only by the gates at its next send.
    """
    closed = {h.ready.campaign_id: s for h in handed if (s := _suppression(h, now)) is not None}
    stops = _stops(connection, lease.tenant_id, closed, now) if stops_others else {}
    campaigns = lock_campaigns(connection, lease.tenant_id, {*stops, *(h.ready.campaign_id for h in handed)})
    by_id = {campaign.id: campaign for campaign in campaigns}
    judged = [(h, _status_after(h, by_id)) for h in handed]
    accepted = [_attempt(h, status) for h, status in judged if status is MessageStatus.SENT]
    refused = [_attempt(h, status) for h, status in judged if status is not MessageStatus.SENT]
    news = record_accepted(connection, lease.tenant_id, accepted, now) if accepted else set()
    news |= record_refused(connection, lease.tenant_id, refused, now) if refused else set()
    inputs: dict[str, list[Input]] = {}
    back: list[PutBack] = []
    for h, status in judged:
        if h.ready.message.id not in news:
            continue
        match status:
            case MessageStatus.SENT:
                arrived = Accepted(now, h.ready.message.id, h.ready.node_id, h.ready.visit)
                inputs.setdefault(h.ready.campaign_id, []).append(arrived)
            case MessageStatus.FAILED:
                code = (h.outcome.code if h.outcome is not None else None) or "refused"
                inputs.setdefault(h.ready.campaign_id, []).append(Refused(now, h.ready.node_id, h.ready.visit, code))
            case MessageStatus.IN_DOUBT | MessageStatus.QUEUED:
                back.append(_put_back(h, status, now))
    for campaign_id, stop in stops.items():
        inputs.setdefault(campaign_id, []).append(stop)
    answer(connection, lease.tenant_id, [c for c in campaigns if c.id in inputs], inputs, now)
    put_back(connection, lease, back, now, settles_doubt=True)
    if closed:
        upsert_suppressions(connection, lease.tenant_id, list(closed.values()), now)


def _suppression(handed: HandedOver, now: datetime) -> Suppression | None:
    """Whom the outcome closes."""
    kind = handed.outcome.closes if handed.outcome is not None else None
    if kind is None:
        return None
    # Who may not be written to because of a STOP of theirs said so in a text message.
    source = SuppressionSource.REPLY if kind is SuppressionType.UNSUBSCRIBE else SuppressionSource.WEBHOOK
    message = handed.ready.message
    return Suppression(message.channel, message.to_address, SuppressionScope.ADDRESS, kind, source, now)


def _stops(connection: Connection, tenant_id: str, closed: Mapping[str, Suppression], now: datetime) -> dict[str, Stop]:
    """The stops of the campaigns that write to a closed address, but for those whose messages were refused (the keys of `closed`): their plans answer
    `failed`, or they end in error."""
    suppressions = list(closed.values())
    return {
        campaign_id: Stop(now, f"suppressed_{suppression.type}")
        for suppression, campaigns in zip(suppressions, reached_by(connection, tenant_id, suppressions), strict=True)
        for campaign_id in campaigns
        if campaign_id not in closed
    }


def _status_after(handed: HandedOver, campaigns: Mapping[str, LockedCampaign]) -> MessageStatus:
    """The message's status after its outcome."""
    match handed.outcome.verdict if handed.outcome is not None else None:
        case Verdict.ACCEPTED:
            return MessageStatus.SENT
        case Verdict.UNKNOWN:
            return MessageStatus.IN_DOUBT
        case Verdict.TEMPORARY if handed.attempts >= MAX_ATTEMPTS and _blames_the_message(handed):
            return MessageStatus.FAILED
        case Verdict.TEMPORARY | None:
            ref = ActionRef(handed.ready.node_id, handed.ready.visit, SEND)
            campaign = campaigns.get(handed.ready.campaign_id)
            wanted = campaign is not None and ref in campaign.action_ids
            return MessageStatus.QUEUED if wanted else MessageStatus.SKIPPED
        case Verdict.PERMANENT:
            return MessageStatus.FAILED


def _blames_the_message(handed: HandedOver) -> bool:
    """Whether the provider could have meant this message; a message is not given up for a rate limit, a login or a network that fails."""
    return handed.outcome is not None and handed.outcome.retry_after is None


def _attempt(handed: HandedOver, status: MessageStatus) -> Attempt:
    outcome, message_id = handed.outcome, handed.ready.message.id
    if outcome is None:
        return Attempt(message_id, handed.attempts, status, used=False)
    return Attempt(message_id, handed.attempts, status, outcome.provider_message_id, outcome.code, outcome.detail)


def _put_back(handed: HandedOver, status: MessageStatus, now: datetime) -> PutBack:
    detail = handed.outcome.detail if handed.outcome is not None else None
    if status is MessageStatus.IN_DOUBT:
        return PutBack(handed.ready.action_id, ActionStatus.HELD, IN_DOUBT, last_error=detail)
    if handed.outcome is None:
        return PutBack(handed.ready.action_id, ActionStatus.PENDING, "lease_too_short")
    if handed.outcome.retry_after is not None:
        later = now + handed.outcome.retry_after
        return PutBack(handed.ready.action_id, ActionStatus.PENDING, "provider_not_ready", later, detail)
    return PutBack(
        handed.ready.action_id, ActionStatus.PENDING, "refused_for_now", retry_at(now, handed.attempts), detail
    )
