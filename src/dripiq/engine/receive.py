"""Who has written back, and what follows from it?

What `arrive` has archived is worked: a row in `inbound_messages`, an event, a suppression, a campaign's move, all of it or none. Rules:

- A reply is `replied`, a report what it reports; of which message, says `answered`.
- Automatic answers, and what the tenant's own senders wrote, are stored, and are no replies.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from dripiq.channels.inbound_message import Inbound
from dripiq.channels.inbound_readers import READERS
from dripiq.channels.provider_events import ProviderEvent
from dripiq.domain.errors import InputError
from dripiq.domain.events import EventType
from dripiq.domain.reply_address import ReplyAddresses
from dripiq.domain.states import Channel, Confidence, DeliveryStatus, InboundClass
from dripiq.engine.answered import find_answered
from dripiq.engine.clock import Clock
from dripiq.engine.hear import hear
from dripiq.engine.translation import MAX_BYTES, Tied, is_about_data
from dripiq.repositories.intake import Finished, finish_deliveries, take_turn
from dripiq.repositories.receiving import InboundRow, find_unread_tenants, read_known, read_own_addresses, read_unread
from dripiq.schema.ids import new_ids

LONGEST_UNDER_WAY = timedelta(days=30)
"""A Date header further back than this is not believed; nor is one that lies ahead."""


@dataclass(frozen=True, slots=True)
class _Mail:
    """A mail that is new, and the message that it is about, where it is known."""

    id: str
    provider: str
    inbound: Inbound
    classification: InboundClass
    received_at: datetime
    message: Any


def find_tenants(database: Engine) -> list[str]:
    """The tenants with mail that waits to be read."""
    with database.begin() as connection:
        return find_unread_tenants(connection, READERS)


def receive(
    database: Engine, clock: Clock, tenant_id: str, replies: ReplyAddresses | None = None, *, limit: int = 50
) -> int:
    """Work a tenant's oldest archived mails, at most `limit`; how many. None while another worker is at this tenant's.

    A batch that the database refuses for what it says is worked mail by mail; the one it still refuses is set aside as `failed`.
    """
    try:
        return _work(database, clock, tenant_id, replies, limit)
    except DBAPIError as error:
        if not is_about_data(error):
            raise
    if limit > 1:
        return receive(database, clock, tenant_id, replies, limit=1)
    with database.begin() as connection:
        if take_turn(connection, tenant_id):
            for delivery in read_unread(connection, tenant_id, READERS, 1, MAX_BYTES):
                refused = Finished(delivery.id, DeliveryStatus.FAILED, "the database refused it")
                finish_deliveries(connection, tenant_id, [refused], clock.now(connection))
    return 1


def _work(database: Engine, clock: Clock, tenant_id: str, replies: ReplyAddresses | None, limit: int) -> int:
    with database.begin() as connection:
        if not take_turn(connection, tenant_id):
            return 0
        deliveries = read_unread(connection, tenant_id, READERS, limit, MAX_BYTES)
        if deliveries:
            read: list[tuple[str, Inbound, datetime]] = []
            done = []
            for delivery in deliveries:
                error = None
                try:
                    read.append((delivery.provider, READERS[delivery.provider](delivery.raw), delivery.received_at))
                except InputError as fault:
                    error = fault.error_code
                status = DeliveryStatus.PROCESSED if error is None else DeliveryStatus.FAILED
                done.append(Finished(delivery.id, status, error))
            now = clock.now(connection)
            mails = _tie(connection, tenant_id, _new(connection, tenant_id, read), replies)
            tied = [tied for mail in mails if (tied := _event(mail)) is not None]
            hear(connection, tenant_id, tied, now, [_row(mail) for mail in mails])
            finish_deliveries(connection, tenant_id, done, now)
        return len(deliveries)


def _new(
    connection: Connection, tenant_id: str, read: Iterable[tuple[str, Inbound, datetime]]
) -> list[tuple[str, Inbound, datetime]]:
    """Those that are not stored yet, each once."""
    by_id = {inbound.id: (provider, inbound, at) for provider, inbound, at in reversed(list(read))}
    known = read_known(connection, tenant_id, Channel.EMAIL, by_id)
    return [entry for id, entry in reversed(by_id.items()) if id not in known]


def _tie(
    connection: Connection,
    tenant_id: str,
    new: Sequence[tuple[str, Inbound, datetime]],
    replies: ReplyAddresses | None,
) -> list[_Mail]:
    """Find the message that each mail is about, and take out what our own senders wrote."""
    inbounds = [inbound for _, inbound, _ in new]
    own = read_own_addresses(connection, tenant_id, {inbound.from_address for inbound in inbounds})
    found = find_answered(connection, tenant_id, inbounds, own, replies)
    return [
        _Mail(
            row_id,
            provider,
            inbound,
            InboundClass.UNKNOWN if inbound.from_address in own else inbound.classification,
            received_at,
            found[inbound.id],
        )
        for row_id, (provider, inbound, received_at) in zip(new_ids(len(new)), new, strict=True)
    ]


def _event(mail: _Mail) -> Tied | None:
    """What a mail says of the message that it is about; the event has the row's id, so that each leads to the other."""
    report = mail.inbound.report
    event_type = report.event if report is not None else None
    if mail.classification is InboundClass.REPLY:
        event_type = EventType.REPLIED
    if mail.message is None or event_type is None or mail.classification is InboundClass.UNKNOWN:
        return None
    said = (
        {"status": report.status, "reason": report.detail} if report is not None else {"subject": mail.inbound.subject}
    )
    event = ProviderEvent(
        provider=mail.provider,
        event_type=event_type,
        event_at=_happened_at(mail),
        provider_event_id=mail.inbound.id,
        message_id=mail.message.id,
        confidence=Confidence.HUMAN if event_type is EventType.REPLIED else Confidence.UNKNOWN,
        payload={"inbound_message_id": mail.id, **{key: value for key, value in said.items() if value}},
    )
    return Tied(mail.id, event, mail.message)


def _happened_at(mail: _Mail) -> datetime:
    """When it was written, by its own Date where that can be: no later than it came, and not before what it is about was sent."""
    sent_at, received_at = mail.inbound.sent_at, mail.received_at
    at = sent_at if sent_at and received_at - LONGEST_UNDER_WAY <= sent_at <= received_at else received_at
    return max(at, mail.message.sent_at) if mail.message.sent_at is not None else at


def _row(mail: _Mail) -> InboundRow:
    inbound = mail.inbound
    attachments = [{"name": a.name, "type": a.type, "size": a.size} for a in inbound.attachments]
    return InboundRow(
        id=mail.id,
        campaign_id=mail.message.contact_campaign_id if mail.message is not None else None,
        channel=Channel.EMAIL,
        to_address=inbound.recipients[0] if inbound.recipients else "",
        from_address=inbound.from_address,
        subject=inbound.subject,
        text=inbound.text,
        html=inbound.html,
        attachments=orjson.dumps(attachments).decode() if attachments else None,
        headers=orjson.dumps(inbound.headers).decode(),
        in_reply_to=inbound.in_reply_to,
        classification=mail.classification,
        provider_message_id=inbound.id,
        received_at=mail.received_at,
    )
