"""What does a page of the archive say that is not stored, or stored otherwise? Writes nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from dripiq.channels.event_readers import TIMELESS
from dripiq.domain.moves import Input
from dripiq.domain.states import DeliveryStatus, MessageStatus
from dripiq.engine.grade import grade
from dripiq.engine.translation import (
    Tied,
    facts_of,
    finished,
    inputs_of,
    proofs_of,
    read_delivery,
    suppressions_of,
    telling_of,
    tie,
)
from dripiq.repositories.intake import Finished, StatusFact, Suppression
from dripiq.repositories.replaying import lacking, read_archived, read_known_events, read_statuses


@dataclass(frozen=True, slots=True)
class Difference:
    """A stored event that the archive says otherwise now; by field, what is stored and what the archive says."""

    event_id: str
    provider_event_id: str
    fields: Mapping[str, tuple[str | None, str | None]]


@dataclass(frozen=True, slots=True)
class Page:
    """What some deliveries say, and what of it is missing.

    Attributes:
        missing: the events to store, one for each id of the provider's.
        dropped: the names of events (provider, id) that are not there because their month is not kept.
        facts: of the messages that rise.
        unproven: the messages that an event proves to be accepted, while nobody has recorded it.
        suppressions: those that are not there.
        finished: deliveries whose outcome is another now.
        readable: of these, the ones that had failed.
        inputs: what campaigns would be told, by campaign.
    """

    missing: Sequence[Tied]
    dropped: frozenset[tuple[str, str]]
    differing: Sequence[Difference]
    facts: Sequence[StatusFact]
    unproven: frozenset[str]
    suppressions: Sequence[Suppression]
    finished: Sequence[Finished]
    readable: int
    inputs: Mapping[str, Sequence[Input]]


def compare(
    connection: Connection, tenant_id: str, delivery_ids: Sequence[str], first_kept: datetime | None, *, move: bool
) -> Page:
    """Hold a tenant's deliveries against what is stored.

    Args:
        first_kept: the first month whose events are kept; None where all are.
        move: whether campaigns will answer. Else messages whose hand-over nobody has recorded are left as they are: their campaigns wait for the same news.
    """
    deliveries = read_archived(connection, tenant_id, delivery_ids)
    reads = [read_delivery(delivery) for delivery in deliveries]
    events = [event for read in reads for event in read.events]
    tied = grade(connection, tenant_id, tie(connection, tenant_id, events))
    known = read_known_events(connection, tenant_id, map(_name, tied))
    fresh = {_name(t): t for t in reversed(tied) if _name(t) not in known}
    dropped = frozenset(name for name, t in fresh.items() if first_kept is not None and t.event.event_at < first_kept)
    missing = [t for t in tied if fresh.get(_name(t)) is t and _name(t) not in dropped]
    agreeing = [t for t in tied if _is_stored(t, known.get(_name(t), ()))]
    sound = missing + agreeing
    outcomes = [finished(read) for read in reads]
    changed = [o for o, d in zip(outcomes, deliveries, strict=True) if (o.status, o.error) != (d.status, d.error)]
    failed = {d.id for d in deliveries if d.status == DeliveryStatus.FAILED}
    return Page(
        missing=missing,
        dropped=dropped,
        differing=[each for t in tied if (each := _difference(t, known.get(_name(t), ())))],
        facts=_rising(connection, tenant_id, [t for t in sound if move or not _is_unproven(t)]),
        unproven=frozenset(t.message.id for t in sound if _is_unproven(t)),
        suppressions=lacking(connection, tenant_id, _latest(suppressions_of(sound))),
        finished=changed,
        readable=sum(o.id in failed and o.status == DeliveryStatus.PROCESSED for o in changed),
        inputs=inputs_of(telling_of(connection, tenant_id, missing), proving=sound),
    )


def _name(tied: Tied) -> tuple[str, str]:
    return tied.event.provider, tied.event.provider_event_id


def _is_unproven(tied: Tied) -> bool:
    return bool(proofs_of([tied]))


def _is_stored(tied: Tied, stored: Iterable[Any]) -> bool:
    """Whether the event is there as what the archive says it is; of one that was something else, nothing follows by itself."""
    return any(row.event_type == tied.event.event_type for row in stored)


def _difference(tied: Tied, stored: Sequence[Any]) -> Difference | None:
    """Where a stored event says something else; None where it is not stored, or one of its copies says the same."""
    differences = [_fields(tied, row) for row in stored]
    if not stored or {} in differences:
        return None
    row, fields = min(zip(stored, differences, strict=True), key=lambda pair: len(pair[1]))
    return Difference(row.id, tied.event.provider_event_id, fields)


def _fields(tied: Tied, row: Any) -> dict[str, tuple[str | None, str | None]]:
    event, message_id = tied.event, tied.message.id if tied.message is not None else None
    said = {
        "type": (row.event_type, str(event.event_type)),
        "at": (row.event_at.isoformat(), event.event_at.isoformat()),
        "message": (row.outbound_message_id, message_id),
        "url": (row.url, event.url),
        "confidence": (row.confidence, str(event.confidence)),
    }
    if event.provider in TIMELESS:
        del said["at"]
    return {name: pair for name, pair in said.items() if pair[0] != pair[1]}


def _rising(connection: Connection, tenant_id: str, tied: Iterable[Tied]) -> list[StatusFact]:
    """The facts that are stronger than what is known of their messages."""
    facts = facts_of(tied)
    known = read_statuses(connection, tenant_id, {fact.message_id for fact in facts})
    return [f for f in facts if f.message_id in known and MessageStatus(known[f.message_id]).rank < f.status.rank]


def _latest(suppressions: Iterable[Suppression]) -> list[Suppression]:
    """One for each address and reason, as it was seen last."""
    ordered = sorted(suppressions, key=lambda each: each.seen_at)
    return list({(each.channel, each.value, each.type): each for each in ordered}.values())
