"""Who has written back, and what follows from it?

Two steps, each in a transaction of its own. `arrive` archives a mail under its tenant before whoever brought it is answered; `receive` works what is archived:
a row in `inbound_messages`, an event, a suppression, a campaign's move, all of it or none. Rules:

- A mail is its tenant's by the address of ours that it was sent to, a sender's or a message's own; where that is nobody's or several tenants', by the mail that
  it answers. What remains is quarantined.
- It finds its message by In-Reply-To, then References, then the message's own address that it came to, then sender and subject; a report by the mail that it
  returns alone.
- A reply is `replied`, a report what it reports. A report that returns no mail of ours does nothing: who knows none of our Message-IDs could silence anybody.
- Automatic answers, and what the tenant's own senders wrote, are stored, and are no replies.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from dripiq.channels import inbound_form
from dripiq.channels.inbound_message import Inbound, parse
from dripiq.channels.provider_events import ProviderEvent
from dripiq.domain.errors import InputError
from dripiq.domain.events import EventType
from dripiq.domain.reply_address import ReplyAddresses
from dripiq.domain.states import Channel, Confidence, DeliveryStatus, InboundClass
from dripiq.engine.clock import Clock
from dripiq.engine.hear import hear
from dripiq.engine.slices import UNKNOWN_TENANT
from dripiq.engine.translation import MAX_BYTES, Tied, is_about_data
from dripiq.repositories.archive import Slice, Stray, archive, notify_work, quarantine
from dripiq.repositories.campaign_reading import find_contacts
from dripiq.repositories.intake import Finished, finish_deliveries, read_messages, take_turn
from dripiq.repositories.receiving import (
    InboundRow,
    find_tenants_by_answered,
    find_tenants_by_recipient,
    find_unread_tenants,
    read_known,
    read_own_addresses,
    read_sent_to,
    read_unread,
)
from dripiq.schema.ids import new_ids

IMAP: Final = "imap"
"""The provider of mail that was fetched from a mailbox: archived as it was stored there."""
READERS: Final = {IMAP: parse, inbound_form.PROVIDER: inbound_form.read_inbound}
"""How what a provider brought is read as a mail."""

LONGEST_UNDER_WAY = timedelta(days=30)
"""A Date header further back than this is not believed; nor is one that lies ahead."""

_OWN_ID = re.compile(r"([a-z][a-z0-9]{23})@")
_ANSWER_MARK = re.compile(
    r"^(?:\s*(?:re|aw|sv|rv|antw|odp|ynt|vs|回复|答复|返信)(?:\[\d+\])?\s*[::])+\s*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class _Mail:
    """A mail that is new, and the message that it is about, where it is known."""

    id: str
    provider: str
    inbound: Inbound
    classification: InboundClass
    received_at: datetime
    message: Any


def arrive(
    connection: Connection, provider: str, raw: bytes, now: datetime, replies: ReplyAddresses | None = None
) -> bool:
    """Archive a mail in the caller's transaction; whether it is new. Whoever brought it may be answered once this is committed.

    Args:
        provider: one of `READERS`, which says how `raw` is read.
        replies: the addresses that our messages are answered at, where they have some of their own.

    Raises:
        InputError: it holds no mail; nothing is written.
    """
    tenant_id = _tenant_of(connection, READERS[provider](raw), replies)
    if tenant_id is None:
        return quarantine(connection, provider, [Stray(UNKNOWN_TENANT, raw)], now) > 0
    new = archive(connection, provider, [Slice(tenant_id, raw, fits_jsonb=False)], now) > 0
    if new:
        notify_work(connection)
    return new


def arrive_for(connection: Connection, tenant_id: str, raw: bytes, now: datetime) -> bool:
    """Archive a mail from the mailbox of one of a tenant's senders, in the caller's transaction; whether it is new.

    Only what is about this tenant's outreach: it answers or reports a message of the tenant's, or one of its contacts wrote it. People's other mail stays
    where it is, and is stored nowhere.
    """
    inbound = READERS[IMAP](raw)
    answers = find_tenants_by_answered(connection, _own_ids(inbound), [tenant_id])
    if not answers and not find_contacts(connection, tenant_id, [inbound.from_address]):
        return False
    new = archive(connection, IMAP, [Slice(tenant_id, raw, fits_jsonb=False)], now) > 0
    if new:
        notify_work(connection)
    return new


def _tenant_of(connection: Connection, inbound: Inbound, replies: ReplyAddresses | None) -> str | None:
    candidates = find_tenants_by_recipient(connection, inbound.recipients)
    if signed := _signed_ids(inbound, replies):
        candidates = sorted({*candidates, *find_tenants_by_answered(connection, signed)})
    if len(candidates) != 1:
        candidates = find_tenants_by_answered(connection, _own_ids(inbound), candidates)
    return candidates[0] if len(candidates) == 1 else None


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
    named = {inbound.id: [*_own_ids(inbound), *_signed_ids(inbound, replies)] for inbound in inbounds}
    by_id = _messages(connection, tenant_id, {name for names in named.values() for name in names})
    found = {id: next((by_id[name] for name in names if name in by_id), None) for id, names in named.items()}
    lost = [i for i in inbounds if found[i.id] is None and i.report is None and i.from_address not in own]
    found |= _by_sender(connection, tenant_id, lost)
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


def _own_ids(inbound: Inbound) -> list[str]:
    """What may be our own ids of the messages that it is about, the nearest ten: the local parts of their Message-IDs that have the shape of ours."""
    return list(islice((found[1] for name in inbound.answers if (found := _OWN_ID.match(name))), 10))


def _signed_ids(inbound: Inbound, replies: ReplyAddresses | None) -> list[str]:
    """The messages at whose own addresses it came in; of a report none, which counts only for the mail that it returns."""
    if replies is None or inbound.report is not None:
        return []
    return [id for address in inbound.recipients if (id := replies.read(address)) is not None]


def _messages(connection: Connection, tenant_id: str, ids: Iterable[str]) -> dict[str, Any]:
    wanted = set(ids)
    return {row.id: row for row in read_messages(connection, tenant_id, "", wanted, ())} if wanted else {}


def _by_sender(connection: Connection, tenant_id: str, lost: Sequence[Inbound]) -> dict[str, Any]:
    """The last message of the same subject that the sender of each mail was sent, by the mail's id."""
    contacts = find_contacts(connection, tenant_id, sorted({i.from_address for i in lost})) if lost else {}
    ids = {contact_id for found in contacts.values() for contact_id in found}
    if not ids:
        return {}
    sent: dict[tuple[str, str], str] = {}
    for row in read_sent_to(connection, tenant_id, Channel.EMAIL, ids):
        sent.setdefault((row.contact_id, _topic(row.subject)), row.id)
    chosen = {
        i.id: sent[contact_id, _topic(i.subject)]
        for i in lost
        for contact_id in contacts.get(i.from_address, ())
        if _topic(i.subject) and (contact_id, _topic(i.subject)) in sent
    }
    by_id = _messages(connection, tenant_id, chosen.values())
    return {id: by_id[message_id] for id, message_id in chosen.items()}


def _topic(subject: str | None) -> str:
    """A subject without the marks of an answer, to be compared."""
    return " ".join(_ANSWER_MARK.sub("", subject or "").casefold().split())


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
        index=0,
        provider=mail.provider,
        event_type=event_type,
        event_at=_happened_at(mail),
        provider_event_id=mail.inbound.id,
        tenant_id=None,
        message_id=mail.message.id,
        provider_message_id=None,
        smtp_id=None,
        recipient=None,
        url=None,
        ip=None,
        user_agent=None,
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
