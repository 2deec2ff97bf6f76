"""What does a delivery say, of which messages, and what follows from it?

A delivery's bytes as events, each with its message, and from these the rows, statuses, suppressions and inputs of campaigns. Writes nothing: a stage decides
which of it is written.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from dripiq.channels.event_readers import EVENT_READERS
from dripiq.channels.provider_events import EventFault, ProviderEvent
from dripiq.domain.addresses import domain_of
from dripiq.domain.errors import InputError
from dripiq.domain.events import MESSAGE_STATUS_OF_EVENT, SUPPRESSION_OF_EVENT, EventType
from dripiq.domain.evidence import heeded_by
from dripiq.domain.moves import Accepted, Happened, Input
from dripiq.domain.states import (
    Channel,
    DeliveryStatus,
    InboundClass,
    SuppressionScope,
    SuppressionSource,
    SuppressionType,
)
from dripiq.engine.plan_cache import plans_of
from dripiq.repositories.intake import EventRow, Finished, StatusFact, Suppression, read_messages
from dripiq.repositories.lifting import Lift
from dripiq.repositories.receiving import InboundRow
from dripiq.repositories.recipients import find_last_sent
from dripiq.repositories.standing import trigger_of
from dripiq.schema.ids import new_ids

MAX_BYTES = 2_000_000
"""Of deliveries in one transaction."""

MAX_ADDRESS = 320
"""Characters of an address at most (RFC 5321, 4.5.3.1): 64 before the `@`, 255 after it."""


@dataclass(frozen=True, slots=True)
class Read:
    """One delivery, translated."""

    delivery_id: str
    events: tuple[ProviderEvent, ...]
    faults: tuple[EventFault, ...]


@dataclass(frozen=True, slots=True)
class Tied:
    """An event under the id it will be stored by, and the message it is of, if it is known."""

    id: str
    event: ProviderEvent
    message: Any


def is_about_data(error: DBAPIError) -> bool:
    """Whether the database refused what was said (a value, a constraint, a size), rather than failed (SQLSTATE classes 22, 23, 54)."""
    state = getattr(error.orig, "sqlstate", None) or ""
    return isinstance(error.orig, psycopg.DataError) or state[:2] in {"22", "23", "54"}


def read_delivery(delivery: Any) -> Read:
    """Translate one delivery (its id, provider, raw and received_at); what cannot be read is said, not raised."""
    try:
        events, faults = EVENT_READERS[delivery.provider](delivery.raw, delivery.received_at)
    except InputError as error:
        return Read(delivery.id, (), (EventFault(0, error.error_code, error.message),))
    return Read(delivery.id, tuple(events), tuple(faults))


def tie(connection: Connection, tenant_id: str, events: Sequence[ProviderEvent]) -> list[Tied]:
    """Find each event's message: by the custom argument, else the provider's id, else the Message-ID (whose local part is our id).

    Where it names none of these, as what somebody writes to us never does: the last that had gone to its address by then.
    """
    rows = [
        row
        for provider in sorted({event.provider for event in events})
        for row in _messages_of(connection, tenant_id, provider, [e for e in events if e.provider == provider])
    ]
    last = {
        (channel, *asked): name
        for channel in Channel
        for asked, name in find_last_sent(
            connection, tenant_id, channel, [_about(e) for e in events if _is_nameless(e) and e.channel is channel]
        ).items()
    }
    rows += read_messages(connection, tenant_id, "", last.values(), ()) if last else ()
    by_id = {row.id: row for row in rows}
    by_provider_id = {(row.provider, row.provider_message_id): row for row in rows if row.provider_message_id}
    tied = []
    for row_id, event in zip(new_ids(len(events)), events, strict=True):
        names = [last.get((event.channel, *_about(event)), "")] if _is_nameless(event) else _own_ids(event)
        found = (by_id[name] for name in names if name in by_id)
        named = by_provider_id.get((event.provider, event.provider_message_id))
        tied.append(Tied(row_id, event, next(found, None) or named))
    return tied


def _is_nameless(event: ProviderEvent) -> bool:
    """Whether an event says of its message only whom it went to; of a report on a text, a number is too little."""
    names_none = not (event.message_id or event.provider_message_id or event.smtp_id)
    return names_none and bool(event.recipient) and (event.said is not None or event.channel is Channel.EMAIL)


def _about(event: ProviderEvent) -> tuple[str, datetime]:
    """Whom a nameless event's message went to, and by when it must have left: a provider's clock counts whole seconds."""
    return event.recipient or "", event.event_at + timedelta(seconds=1)


def _messages_of(
    connection: Connection, tenant_id: str, provider: str, events: Sequence[ProviderEvent]
) -> Sequence[Any]:
    return read_messages(
        connection,
        tenant_id,
        provider,
        {name for event in events for name in _own_ids(event)},
        {event.provider_message_id for event in events if event.provider_message_id},
    )


def _own_ids(event: ProviderEvent) -> Iterable[str]:
    """What may be our own id of the event's message, the surest first."""
    if event.message_id:
        yield event.message_id
    if event.smtp_id:
        yield event.smtp_id.partition("@")[0]


def telling_of(connection: Connection, tenant_id: str, tied: Iterable[Tied]) -> list[Tied]:
    """The events that can mean something to their campaigns, which are locked for them; of the others (nearly half: `delivered`) no plan here takes notice.

    A message whose hand-over nobody has recorded needs its campaign in any case.
    """
    known = [t for t in tied if t.message is not None]
    plans = plans_of(connection, tenant_id, ((t.message.contact_campaign_id, t.message.plan_hash) for t in known))
    heeded = {plan_hash: heeded_by(plan) for plan_hash, plan in plans.items()}
    return [
        t
        for t in known
        if t.message.sent_at is None or trigger_of(t.event.event_type) in heeded.get(t.message.plan_hash, ())
    ]


def row_of(tied: Tied) -> EventRow:
    """The row that an event is stored as."""
    event = tied.event
    return EventRow(
        id=tied.id,
        message_id=tied.message.id if tied.message is not None else None,
        campaign_id=tied.message.contact_campaign_id if tied.message is not None else None,
        provider=event.provider,
        type=str(event.event_type),
        at=event.event_at,
        url=event.url,
        ip=event.ip,
        user_agent=event.user_agent,
        event_id=event.provider_event_id,
        payload=orjson.dumps(event.payload).decode(),
        confidence=str(event.confidence),
    )


def facts_of(fresh: Iterable[Tied]) -> list[StatusFact]:
    """The strongest fact per message; `at` is the earliest time at which it is known to have been accepted."""
    facts: dict[str, StatusFact] = {}
    for tied in fresh:
        status = MESSAGE_STATUS_OF_EVENT.get(tied.event.event_type)
        if tied.message is None or status is None:
            continue
        fact = StatusFact(tied.message.id, status, tied.event.event_at, tied.event.provider_message_id)
        known = facts.get(fact.message_id)
        if known is not None:
            strongest = max(known, fact, key=lambda f: f.status.rank)
            fact = StatusFact(
                fact.message_id,
                strongest.status,
                min(known.at, fact.at),
                known.provider_message_id or fact.provider_message_id,
            )
        facts[fact.message_id] = fact
    return list(facts.values())


def suppressions_of(fresh: Iterable[Tied]) -> list[Suppression]:
    """Whom to write to no more."""
    return [found for tied in fresh if (found := suppression_of(tied)) is not None]


def suppression_of(tied: Tied) -> Suppression | None:
    """Whom an event closes: the message's own address, or, where the message is unknown, the one that the provider names; None where nobody."""
    kind = SUPPRESSION_OF_EVENT.get(tied.event.event_type)
    address = tied.message.to_address if tied.message is not None else tied.event.recipient
    if kind is None or not address or not domain_of(address) or len(address) > MAX_ADDRESS:
        return None
    channel = tied.message.channel if tied.message is not None else tied.event.channel
    # Who is unsubscribed from texts has said so in one, to us or to our provider; saying START takes it back.
    by_reply = channel == Channel.SMS and kind is SuppressionType.UNSUBSCRIBE
    source = SuppressionSource.REPLY if by_reply else SuppressionSource.WEBHOOK
    return Suppression(str(channel), address, SuppressionScope.ADDRESS, kind, source, tied.event.event_at)


def lifts_of(fresh: Iterable[Tied]) -> list[Lift]:
    """Whom a START of theirs lets us write to again."""
    return [
        Lift(str(tied.event.channel), tied.event.recipient, tied.event.event_at)
        for tied in fresh
        if tied.event.event_type is EventType.RESUBSCRIBED and tied.event.said is not None and tied.event.recipient
    ]


def inbound_of(tied: Iterable[Tied]) -> list[InboundRow]:
    """The rows of what people wrote to us; each has its event's id."""
    return [
        InboundRow(
            id=t.id,
            campaign_id=t.message.contact_campaign_id if t.message is not None else None,
            channel=t.event.channel,
            to_address=t.event.said.to_address,
            from_address=t.event.recipient or "",
            subject=None,
            text=t.event.said.text,
            html=None,
            attachments=None,
            headers=None,
            in_reply_to=None,
            classification=InboundClass.REPLY,
            provider_message_id=t.event.provider_event_id,
            received_at=t.event.event_at,
        )
        for t in tied
        if t.event.said is not None
    ]


def inputs_of(fresh: Sequence[Tied], proving: Sequence[Tied] | None = None) -> dict[str, list[Input]]:
    """What the campaigns answer, by campaign: what happened, after the proofs that it could; `proving` are the events that prove, where they are others."""
    inputs = proofs_of(fresh if proving is None else proving)
    for tied in fresh:
        trigger = trigger_of(tied.event.event_type)
        if tied.message is not None and trigger is not None:
            happened = Happened(tied.event.event_at, trigger, tied.message.id, tied.id, tied.event.confidence)
            inputs.setdefault(tied.message.contact_campaign_id, []).append(happened)
    return inputs


def proofs_of(tied: Iterable[Tied]) -> dict[str, list[Input]]:
    """The messages whose hand-over nobody has recorded, though an event proves that they were accepted; by campaign."""
    proven: dict[str, tuple[Any, datetime]] = {}
    for message, event in ((t.message, t.event) for t in tied):
        if message is not None and message.sent_at is None and event.event_type in MESSAGE_STATUS_OF_EVENT:
            _, at = proven.get(message.id, (message, event.event_at))
            proven[message.id] = message, min(event.event_at, at)
    proofs: dict[str, list[Input]] = {}
    for message, at in proven.values():
        accepted = Accepted(at, message.id, message.node_id, message.visit)
        proofs.setdefault(message.contact_campaign_id, []).insert(0, accepted)
    return proofs


def finished(read: Read) -> Finished:
    """How the work on a delivery ends: `failed` where nothing of it could be read; `error` names its first hundred bad events."""
    if not read.faults:
        return Finished(read.delivery_id, DeliveryStatus.PROCESSED, None)
    said = "; ".join(f"event {fault.index}: {fault.code}" for fault in read.faults[:100])
    status = DeliveryStatus.PROCESSED if read.events else DeliveryStatus.FAILED
    return Finished(read.delivery_id, status, said)
