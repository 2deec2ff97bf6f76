"""What does a mail that came in say, and what is it?

From the bytes of an RFC 5322 message to what `inbound_messages` holds. Any bytes give an answer, in bounded time and of bounded size: a mail of
too many parts is read by its headers alone, and what is too long is cut.
"""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import parsedate_to_datetime
from itertools import islice

from dripiq.channels.inbound_class import is_automatic
from dripiq.channels.inbound_report import Report, inner_parts, read_report
from dripiq.channels.inbound_text import MAX_TEXT, addresses_of, decoded, header, message_ids, unfolded, values_of
from dripiq.channels.sendgrid_request import clean_text
from dripiq.domain.events import EventType
from dripiq.domain.states import InboundClass

MAX_PARTS = 200
MAX_HEADERS = 200
_MOST_NESTED = 60
"""Parts may lie in parts: the time to read them grows with lines times depth."""

_RECIPIENT_HEADERS = ("Delivered-To", "X-Original-To", "Envelope-To", "To", "Cc")
_CLASS_OF_EVENT = {
    EventType.BOUNCED: InboundClass.BOUNCE,
    EventType.BLOCKED: InboundClass.BOUNCE,
    EventType.DEFERRED: InboundClass.BOUNCE,
    EventType.SPAMREPORT: InboundClass.COMPLAINT,
}


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that is not the mail's own text: its name as given, its media type, its size in bytes. Its content stays in the archive."""

    name: str | None
    type: str
    size: int


@dataclass(frozen=True, slots=True)
class Inbound:
    """One mail that came in.

    Attributes:
        id: its Message-ID without angle brackets, or, without one, `sha256:` and a hash of its bytes; at most 255 characters.
        from_address: in stored form; empty where nobody is named.
        recipients: whom it was for, in stored form: of the envelope first, where that is known.
        headers: by lower-case name, decoded, in their order; of each name at most twenty.
        in_reply_to, references: Message-IDs without angle brackets.
        sent_at: by its Date header, UTC; None without one that can be read.
        report: what it says of a mail that was sent, where it is a report.
    """

    id: str
    from_address: str
    recipients: tuple[str, ...]
    subject: str | None
    text: str | None
    html: str | None
    attachments: tuple[Attachment, ...]
    headers: dict[str, list[str]]
    in_reply_to: str | None
    references: tuple[str, ...]
    sent_at: datetime | None
    classification: InboundClass
    report: Report | None

    @property
    def answers(self) -> tuple[str, ...]:
        """The Message-IDs of the mails that it is about, the nearest first."""
        thread = (self.in_reply_to, *reversed(self.references))
        reported = self.report.original_ids if self.report is not None else ()
        return tuple(dict.fromkeys(name for name in (*reported, *thread) if name))


def parse(raw: bytes, recipients: tuple[str, ...] = ()) -> Inbound:
    """Read a mail; never raises for what it says.

    Args:
        raw: the mail, as received.
        recipients: the envelope's, in stored form, where they are known.
    """
    message, parts = _parts_of(raw)
    subject = header(message, "Subject")
    text, html, attachments = _contents(parts)
    report = read_report(message, parts, len(raw))
    own_ids = message_ids(header(message, "Message-ID"))
    replied = message_ids(header(message, "In-Reply-To"))
    return Inbound(
        id=_identity(own_ids, raw),
        from_address=next(iter(addresses_of(message, "From", "Reply-To", "Sender")), ""),
        recipients=tuple(dict.fromkeys((*recipients, *addresses_of(message, *_RECIPIENT_HEADERS)))),
        subject=subject,
        text=text,
        html=html,
        attachments=attachments,
        headers=_headers(message),
        in_reply_to=replied[0] if replied else None,
        references=message_ids(" ".join(islice(values_of(message, "References"), 5))),
        sent_at=_instant(header(message, "Date")),
        classification=classify(message, report, subject, text),
        report=report,
    )


def classify(message: Message, report: Report | None, subject: str | None, text: str | None) -> InboundClass:
    """What a mail is: what a report says comes first (RFC 3834 counts reports among automatic answers); what nothing marks is a reply."""
    if report is not None:
        return _CLASS_OF_EVENT.get(report.event, InboundClass.AUTO_REPLY) if report.event else InboundClass.AUTO_REPLY
    return InboundClass.AUTO_REPLY if is_automatic(message, subject, text) else InboundClass.REPLY


def _parts_of(raw: bytes) -> tuple[Message, list[Message]]:
    """The mail, and all parts in it, the mail first."""
    folded = raw.lower()
    if max(folded.count(b"boundary"), folded.count(b"message/")) <= _MOST_NESTED:
        with suppress(Exception):  # the standard library's parser promises to raise none, and has raised some
            message = message_from_bytes(raw)
            return message, list(islice(message.walk(), MAX_PARTS))
    message = Message()
    with suppress(Exception):
        message = BytesHeaderParser().parsebytes(raw[:200_000])
    message.set_payload("")
    return message, [message]


def _contents(parts: list[Message]) -> tuple[str | None, str | None, tuple[Attachment, ...]]:
    """The mail's own text and HTML (parts of text between pictures are one text), and what is attached."""
    texts: list[str] = []
    htmls: list[str] = []
    attached: list[Attachment] = []
    inside: set[int] = set()  # parts of an attached mail are its own
    for part in parts:
        kind = part.get_content_type()
        if id(part) in inside or part.get_content_maintype() == "multipart":
            if id(part) in inside:
                inside.update(map(id, inner_parts(part)))
            continue
        if part.is_multipart():  # message/rfc822 and its like
            inside.update(map(id, inner_parts(part)))
            attached.append(Attachment(_name(part), kind[:200], _size(part)))
            continue
        payload = part.get_payload(decode=True)
        data = payload if isinstance(payload, bytes) else b""
        shown = _name(part) is None and "attachment" not in str(part.get("Content-Disposition", ""))[:100].lower()
        if shown and kind in ("text/plain", "text/html"):
            (texts if kind == "text/plain" else htmls).append(decoded(data, _charset(part)))
        else:
            attached.append(Attachment(_name(part), clean_text(kind)[:200], len(data)))
    return _joined(texts), _joined(htmls), tuple(attached)


def _joined(texts: list[str]) -> str | None:
    return "\n".join(texts)[:MAX_TEXT] if texts else None


def _charset(part: Message) -> str | None:
    try:
        return part.get_content_charset()
    except Exception:  # a parameter in parts (RFC 2231) may be anything
        return None


def _name(part: Message) -> str | None:
    try:
        name = part.get_filename()
    except Exception:
        name = None
    return unfolded(name)[:255] if name else None


def _size(part: Message) -> int:
    try:
        return len(part.as_bytes())
    except Exception:
        return 0


def _headers(message: Message) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in islice(message.raw_items(), MAX_HEADERS):
        values = found.setdefault(clean_text(name)[:100].lower(), [])
        if len(values) < 20:
            values.append(unfolded(value))
    return found


def _identity(own_ids: tuple[str, ...], raw: bytes) -> str:
    if own_ids and len(own_ids[0]) <= 255:
        return own_ids[0]
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def _instant(date: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(date or "")
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError, AttributeError):
        return None
