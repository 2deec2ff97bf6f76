"""What do the archived deliveries say, in dripiq's words, and what follows from it?

One transaction for a batch of one tenant's deliveries: events, message statuses, suppressions, campaign moves, deliveries processed; all of it or none. A
bad event costs that one; a message in doubt that a provider speaks of was accepted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import psycopg
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from dripiq.channels.sendgrid_events import EventFault, ProviderEvent, split_events, translate
from dripiq.domain.addresses import domain_of
from dripiq.domain.errors import InputError
from dripiq.domain.events import MESSAGE_STATUS_OF_EVENT, SUPPRESSION_OF_EVENT
from dripiq.domain.evidence import heeded_by
from dripiq.domain.moves import Accepted, Happened, Input
from dripiq.domain.states import Channel, DeliveryStatus, SuppressionScope, SuppressionSource
from dripiq.engine.clock import Clock
from dripiq.engine.plan_cache import plans_of
from dripiq.engine.react import answer, replied_in, with_colleagues_stopped
from dripiq.repositories.intake import (
    EventRow,
    Finished,
    StatusFact,
    Suppression,
    find_received_tenants,
    finish_deliveries,
    insert_events,
    raise_statuses,
    read_messages,
    read_received,
    take_turn,
    upsert_suppressions,
)
from dripiq.repositories.sending_lock import lock_exclusive
from dripiq.repositories.standing import lock_campaigns, read_colleagues, trigger_of
from dripiq.schema.ids import new_ids

MAX_BYTES = 2_000_000
"""Of deliveries in one transaction."""

MAX_ADDRESS = 320
"""Characters of an address at most (RFC 5321, 4.5.3.1): 64 before the `@`, 255 after it."""


@dataclass(frozen=True, slots=True)
class _Read:
    """One delivery, translated."""

    delivery_id: str
    events: tuple[ProviderEvent, ...]
    faults: tuple[EventFault, ...]


@dataclass(frozen=True, slots=True)
class _Tied:
    """An event under the id it will be stored by, and the message it is of, if it is known."""

    id: str
    event: ProviderEvent
    message: Any


def find_tenants(database: Engine) -> list[str]:
    """The tenants with deliveries that wait to be normalised."""
    with database.begin() as connection:
        return find_received_tenants(connection)


def normalise(database: Engine, clock: Clock, tenant_id: str, *, limit: int = 50) -> int:
    """Work a tenant's oldest deliveries, at most `limit`; how many. None while another worker is at this tenant's.

    A batch that the database refuses for what it says is worked delivery by delivery; the one it still refuses is set aside as `failed`, whole.
    """
    try:
        return _work(database, clock, tenant_id, limit)
    except DBAPIError as error:
        if not _is_about_data(error):
            raise
    if limit > 1:
        return normalise(database, clock, tenant_id, limit=1)
    with database.begin() as connection:
        if take_turn(connection, tenant_id):
            for delivery in read_received(connection, tenant_id, 1, MAX_BYTES):
                failed = Finished(delivery.id, DeliveryStatus.FAILED, "the database refused it")
                finish_deliveries(connection, tenant_id, [failed], clock.now(connection))
    return 1


def _is_about_data(error: DBAPIError) -> bool:
    """Whether the database refused what was said (a value, a constraint, a size), rather than failed (SQLSTATE classes 22, 23, 54)."""
    state = getattr(error.orig, "sqlstate", None) or ""
    return isinstance(error.orig, psycopg.DataError) or state[:2] in {"22", "23", "54"}


def _work(database: Engine, clock: Clock, tenant_id: str, limit: int) -> int:
    with database.begin() as connection:
        if not take_turn(connection, tenant_id):
            return 0
        deliveries = read_received(connection, tenant_id, limit, MAX_BYTES)
        if deliveries:
            reads = [_read(delivery) for delivery in deliveries]
            events = [event for read in reads for event in read.events]
            now = clock.now(connection)
            take_events(connection, tenant_id, deliveries[0].provider, events, now)
            finish_deliveries(connection, tenant_id, [_finished(read) for read in reads], now)
        return len(deliveries)


def _read(delivery: Any) -> _Read:
    """Translate one delivery; what cannot be read is said, not raised."""
    try:
        raw_events = split_events(delivery.raw)
    except InputError as error:
        return _Read(delivery.id, (), (EventFault(0, error.error_code, error.message),))
    translated = [translate(raw.value, index) for index, raw in enumerate(raw_events)]
    return _Read(
        delivery.id,
        tuple(event for event in translated if isinstance(event, ProviderEvent)),
        tuple(fault for fault in translated if isinstance(fault, EventFault)),
    )


def take_events(
    connection: Connection, tenant_id: str, provider: str, events: Sequence[ProviderEvent], now: datetime
) -> None:
    """Write what a provider says of a tenant's messages, and let campaigns answer it; what is known already changes nothing.

    In the caller's transaction, which has done nothing but read so far.
    """
    if any(event.event_type in SUPPRESSION_OF_EVENT for event in events):
        # Nothing but reads came before: every later statement sees what was committed while this waited.
        lock_exclusive(connection, [(tenant_id, channel) for channel in Channel])
    tied = _tie(connection, tenant_id, provider, events)
    telling = _telling(connection, tenant_id, tied)
    colleagues = read_colleagues(connection, tenant_id, replied_in(_inputs(telling)))
    touched = {t.message.contact_campaign_id for t in telling}
    campaigns = lock_campaigns(connection, tenant_id, touched.union(*colleagues.values()))
    fresh_ids = insert_events(connection, tenant_id, [_row(provider, t) for t in tied], now)
    fresh = [t for t in tied if t.id in fresh_ids]
    raise_statuses(connection, tenant_id, _facts(fresh), now)
    if suppressions := _suppressions(fresh):
        upsert_suppressions(connection, tenant_id, suppressions, now)
    inputs = with_colleagues_stopped(_inputs([t for t in telling if t.id in fresh_ids]), colleagues, now)
    answer(connection, tenant_id, [c for c in campaigns if c.id in inputs], inputs, now)


def _tie(connection: Connection, tenant_id: str, provider: str, events: Sequence[ProviderEvent]) -> list[_Tied]:
    """Find each event's message: by the custom argument, else the provider's id, else the Message-ID (whose local part is our id)."""
    rows = read_messages(
        connection,
        tenant_id,
        provider,
        {name for event in events for name in _own_ids(event)},
        {event.provider_message_id for event in events if event.provider_message_id},
    )
    by_id = {row.id: row for row in rows}
    by_provider_id = {row.provider_message_id: row for row in rows if row.provider_message_id}
    tied = []
    for row_id, event in zip(new_ids(len(events)), events, strict=True):
        found = (by_id[name] for name in _own_ids(event) if name in by_id)
        tied.append(_Tied(row_id, event, next(found, None) or by_provider_id.get(event.provider_message_id or "")))
    return tied


def _telling(connection: Connection, tenant_id: str, tied: Iterable[_Tied]) -> list[_Tied]:
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


def _own_ids(event: ProviderEvent) -> Iterable[str]:
    """What may be our own id of the event's message, the surest first."""
    if event.message_id:
        yield event.message_id
    if event.smtp_id:
        yield event.smtp_id.partition("@")[0]


def _row(provider: str, tied: _Tied) -> EventRow:
    event = tied.event
    return EventRow(
        id=tied.id,
        message_id=tied.message.id if tied.message is not None else None,
        campaign_id=tied.message.contact_campaign_id if tied.message is not None else None,
        provider=provider,
        type=str(event.event_type),
        at=event.event_at,
        url=event.url,
        ip=event.ip,
        user_agent=event.user_agent,
        event_id=event.provider_event_id,
        payload=orjson.dumps(event.payload).decode(),
        confidence=str(event.confidence),
    )


def _facts(fresh: Iterable[_Tied]) -> list[StatusFact]:
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


def _suppressions(fresh: Iterable[_Tied]) -> list[Suppression]:
    """Whom to write to no more: the message's own address, or, where the message is unknown, the one that the provider names."""
    found = []
    for tied in fresh:
        kind = SUPPRESSION_OF_EVENT.get(tied.event.event_type)
        address = tied.message.to_address if tied.message is not None else tied.event.recipient
        if kind is not None and address and domain_of(address) and len(address) <= MAX_ADDRESS:
            channel = tied.message.channel if tied.message is not None else Channel.EMAIL
            found.append(
                Suppression(
                    str(channel),
                    address,
                    SuppressionScope.ADDRESS,
                    kind,
                    SuppressionSource.WEBHOOK,
                    tied.event.event_at,
                )
            )
    return found


def _inputs(fresh: Sequence[_Tied]) -> dict[str, list[Input]]:
    """What the campaigns answer. Of a message whose hand-over nobody has recorded, an event is the proof that it was accepted."""
    inputs: dict[str, list[Input]] = {}
    proven: dict[str, datetime] = {}
    for tied in fresh:
        message, event = tied.message, tied.event
        if message is None:
            continue
        if message.sent_at is None and event.event_type in MESSAGE_STATUS_OF_EVENT:
            proven[message.id] = min(event.event_at, proven.get(message.id, event.event_at))
        trigger = trigger_of(event.event_type)
        if trigger is not None:
            happened = Happened(event.event_at, trigger, message.id, tied.id, event.confidence)
            inputs.setdefault(message.contact_campaign_id, []).append(happened)
    by_id = {tied.message.id: tied.message for tied in fresh if tied.message is not None}
    for message_id, at in proven.items():
        message = by_id[message_id]
        accepted = Accepted(at, message.id, message.node_id, message.visit)
        inputs.setdefault(message.contact_campaign_id, []).insert(0, accepted)
    return inputs


def _finished(read: _Read) -> Finished:
    if not read.faults:
        return Finished(read.delivery_id, DeliveryStatus.PROCESSED, None)
    said = "; ".join(f"event {fault.index}: {fault.code}" for fault in read.faults[:100])
    status = DeliveryStatus.PROCESSED if read.events else DeliveryStatus.FAILED
    return Finished(read.delivery_id, status, said)
