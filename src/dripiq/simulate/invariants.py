"""Does what the database says fit what others saw?

The invariants of the engine, each held against a witness that is not the database alone: the SMTP server's record of what it took, and the provider's
record of what was answered 2xx. Pure: records in, one `Check` per invariant out, with a sentence for every row that breaks it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dripiq.domain.addresses import domain_of
from dripiq.domain.events import EventType
from dripiq.domain.states import ActionStatus, CampaignStatus, MessageStatus
from dripiq.repositories.audit import CampaignRow, EventRow, MessageRow, MoveRow, Record, SuppressionRow
from dripiq.simulate.witnesses import Event, ReceivedMail, distinct

_TAKEN = frozenset(
    {
        MessageStatus.SENT,
        MessageStatus.DEFERRED,
        MessageStatus.BLOCKED,
        MessageStatus.DELIVERED,
        MessageStatus.BOUNCED,
    }
)
"""What a message can be only if the provider took it. `failed` may follow a refusal or a drop, so it says nothing."""
IN_DOUBT = frozenset({MessageStatus.SENDING, MessageStatus.IN_DOUBT})
"""What a message is while nobody knows: listed as such, and never sent again blindly."""

_WORDS = {
    "processed": EventType.PROCESSED,
    "delivered": EventType.DELIVERED,
    "deferred": EventType.DEFERRED,
    "open": EventType.OPENED,
    "click": EventType.CLICKED,
    "bounce": EventType.BOUNCED,
    "spamreport": EventType.SPAMREPORT,
    "unsubscribe": EventType.UNSUBSCRIBED,
    "reply": EventType.REPLIED,  # no word of SendGrid's: simulated recipients say so
}


@dataclass(frozen=True, slots=True)
class Check:
    """One invariant: its name, what it promises, how much was looked at, and what breaks it."""

    name: str
    promise: str
    examined: str
    breaches: tuple[str, ...]


def check_all(
    record: Record, received: Sequence[ReceivedMail], answered: Sequence[Event], hand_over: timedelta
) -> list[Check]:
    """Hold every invariant.

    Args:
        record: the database's, read while no worker had anything in hand.
        received: the mails that the SMTP server answered with 250.
        answered: every event that was answered 2xx, as often as it was.
        hand_over: the longest that may pass between committing a message to sending and the MAIL command (half the sender's time-out).
    """
    return [
        Check(
            "sent_once",
            "at most one accepted mail per contact, node and visit; each has its row, and each row of a sent message its mail",
            f"{len(received)} mails, {len(record.messages)} messages",
            tuple(sent_once(record.messages, received)),
        ),
        Check(
            "suppressed",
            "after a suppression's commit nothing to that address became sending",
            f"{len(record.suppressions)} suppressions",
            tuple(suppressed(record, received, hand_over)),
        ),
        Check(
            "none_stuck",
            "every contact is in a final state, or has an open action, or is held with a reason",
            f"{len(record.campaigns)} campaigns",
            tuple(stuck(record.campaigns)),
        ),
        Check(
            "events_once",
            "every event that was answered 2xx is in the database once, and none that was not",
            f"{len(distinct(answered))} events, answered {len(answered)} times",
            tuple(events_once(record.events, answered)),
        ),
        Check(
            "one_chain",
            "transitions form one chain per campaign, from its start to where it stands",
            f"{len(record.moves)} transitions",
            tuple(broken_chains(record.campaigns, record.moves)),
        ),
    ]


def sent_once(messages: Sequence[MessageRow], received: Sequence[ReceivedMail]) -> Iterator[str]:
    """Mails and rows that have no partner, or too many."""
    rows = {(row.tenant_id, row.id): row for row in messages}
    mails = Counter((mail.tenant_id, mail.message_id) for mail in received)
    sends: dict[tuple[str, str, str, str, int], list[str]] = defaultdict(list)
    for mail in received:
        row = rows.get((mail.tenant_id, mail.message_id))
        if row is None:
            yield f"mail {mail.queue_id} to {mail.recipient} is of message {mail.message_id!r}, which has no row"
            continue
        if row.to_address != mail.recipient:
            yield f"message {row.id} is to {row.to_address}, and its mail went to {mail.recipient}"
        if row.status not in _TAKEN | IN_DOUBT | {MessageStatus.FAILED}:
            yield f"message {row.id} is {row.status}, and the server took a mail of it"
        sends[row.tenant_id, row.campaign_id, mail.recipient, row.node_id, row.visit].append(mail.message_id)
    for (_, message_id), times in mails.items():
        if times > 1:
            yield f"message {message_id} was taken {times} times"
    for (_, campaign_id, recipient, node_id, visit), ids in sends.items():
        if len(set(ids)) > 1:
            yield f"{recipient} got {node_id} (visit {visit}, campaign {campaign_id}) as {len(set(ids))} messages: {', '.join(sorted(set(ids)))}"
    for key, times in Counter((row.tenant_id, row.dedupe_key) for row in messages).items():
        if times > 1:
            yield f"dedupe key {key[1]} has {times} messages"
    for row in messages:
        if (row.status in _TAKEN or row.sent_at is not None) and (row.tenant_id, row.id) not in mails:
            yield f"message {row.id} to {row.to_address} is {row.status}, and no mail of it arrived"


def suppressed(record: Record, received: Iterable[ReceivedMail], hand_over: timedelta) -> Iterator[str]:
    """Mails that must have become sending after their address was suppressed.

    When a message became sending is not stored, but it was not before it was prepared, and not longer than `hand_over` before the server heard of it.
    """
    rows = {(row.tenant_id, row.id): row for row in record.messages}
    closed: dict[tuple[str, str], list[SuppressionRow]] = defaultdict(list)
    for suppression in record.suppressions:
        closed[suppression.tenant_id, suppression.value].append(suppression)
    for mail in received:
        row = rows.get((mail.tenant_id, mail.message_id))
        earliest = mail.began_at - hand_over
        if row is not None:
            earliest = max(earliest, row.created_at)
        for value in (mail.recipient, domain_of(mail.recipient)):
            for suppression in closed.get((mail.tenant_id, value), ()):
                if suppression.committed_at < earliest:
                    yield (
                        f"message {mail.message_id} to {mail.recipient} became sending after {earliest:%H:%M:%S.%f}; "
                        f"{value} was suppressed ({suppression.type}) by {suppression.committed_at:%H:%M:%S.%f}"
                    )


def stuck(campaigns: Iterable[CampaignRow]) -> Iterator[str]:
    """Campaigns that nothing will ever happen to, and nobody knows why."""
    for campaign in campaigns:
        who = f"campaign {campaign.id} ({campaign.address})"
        if CampaignStatus(campaign.status).is_final:
            if campaign.action_status is not None:
                yield f"{who} is {campaign.status}, and has an open action ({campaign.action_type}, {campaign.action_status})"
        elif campaign.action_status is None:
            yield f"{who} is {campaign.status} at {campaign.current_node_id}, and has no open action"
        elif campaign.action_status == ActionStatus.HELD and not campaign.action_reason:
            yield f"{who} is held, and no reason is given"


def events_once(rows: Sequence[EventRow], answered: Sequence[Event]) -> Iterator[str]:
    """Events that were answered 2xx and are missing or doubled, and rows that nobody has posted."""
    by_id = Counter((row.tenant_id, row.provider_event_id) for row in rows)
    stored: Counter[tuple[object, ...]] = Counter(
        (row.tenant_id, row.message_id, row.type, row.at, row.url) for row in rows
    )
    events = distinct(answered)
    posted = Counter(_meant(event) for event in events)
    for event in events:
        event_id = event.get("sg_event_id")
        if event_id is not None and (found := by_id[str(event.get("dripiq_tenant")), str(event_id)]) != 1:
            yield f"event {event_id} ({event['event']} of message {event.get('dripiq_message')}) was answered 2xx, and is in the database {found} times"
    for said in posted.keys() | stored.keys():
        if posted[said] != stored[said]:
            _, message_id, event_type, at, _ = said
            yield f"{event_type} of message {message_id} at {at} was answered 2xx as {posted[said]} events, and is in the database {stored[said]} times"


def broken_chains(campaigns: Iterable[CampaignRow], moves: Iterable[MoveRow]) -> Iterator[str]:
    """Campaigns whose transitions do not lead from their start, one by one, to where they stand."""
    chains: dict[tuple[str, str], list[MoveRow]] = defaultdict(list)
    for move in moves:
        chains[move.tenant_id, move.campaign_id].append(move)
    for campaign in campaigns:
        chain = sorted(chains.pop((campaign.tenant_id, campaign.id), []), key=lambda move: move.seq)
        who = f"campaign {campaign.id} ({campaign.address})"
        if [move.seq for move in chain] != list(range(1, campaign.transition_seq + 1)):
            yield f"{who} has transitions {[move.seq for move in chain]}, and should have 1 to {campaign.transition_seq}"
            continue
        at: tuple[str | None, str | None] = (None, CampaignStatus.DRAFT)
        for move in chain:
            start = (move.from_node_id, move.from_status or CampaignStatus.DRAFT)
            enrolled_again = start == (None, CampaignStatus.DRAFT) and CampaignStatus(str(at[1])).is_final
            if start != at and not enrolled_again:
                yield f"{who}: transition {move.seq} leads from {move.from_node_id} ({move.from_status}), and the campaign was at {at[0]} ({at[1]})"
            at = (move.to_node_id, move.to_status)
        if at != (campaign.current_node_id, campaign.status):
            yield f"{who} stands at {campaign.current_node_id} ({campaign.status}), and its transitions lead to {at[0]} ({at[1]})"
    for (_, campaign_id), chain in chains.items():
        yield f"{len(chain)} transitions are of campaign {campaign_id}, which has no row"


def _meant(event: Event) -> tuple[object, ...]:
    word = _WORDS[str(event["event"])]
    if word is EventType.BOUNCED and event.get("type") == "blocked":
        word = EventType.BLOCKED
    at = datetime.fromtimestamp(int(str(event["timestamp"])), UTC)
    return event.get("dripiq_tenant"), event.get("dripiq_message"), str(word), at, event.get("url")
