"""What does a mail report of another mail: that it bounced, that it is late, that somebody complained?

Rules:

- Delivery status notifications (RFC 3464) and abuse reports (RFC 5965) are read as they are written. What other servers make up is recognised by
  flufl.bounce, but only in mail of a mail system: a person may quote a bounce.
- Hard is a failure that lies with the address, for good: as of SendGrid's events (`sendgrid_events`), and of RFC 3463, section 3. A server that gave up
  after temporary failures, a full mailbox and a refusal for policy are soft (`blocked`); a delay is `deferred`.
- A report names its original by the Message-ID in the part that it returns. That is what ties it to a message: an address alone anybody can write.
"""

import re
from dataclasses import dataclass
from email.message import Message
from itertools import islice

from flufl.bounce import all_failures

from dripiq.channels.inbound_text import header, message_ids, stored_address, unfolded
from dripiq.channels.sendgrid_request import clean_text
from dripiq.domain.events import EventType

MAX_GUESSED = 200_000
"""Bytes of a mail that is looked through for a bounce of no standard form."""

_ENHANCED = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?!\.?\d)")
_REPLY_CODE = re.compile(r"(?<![\d.])([45])\d\d[ -]")
_SUBJECTS_OF_THE_ADDRESS = frozenset({0, 1, 2})
_NOT_FOR_GOOD = frozenset({(1, 7), (1, 8), (2, 2), (2, 3)})
"""The sender's address, a full mailbox, a mail too long."""
_COMPLAINTS = frozenset({"abuse", "fraud", "opt-out"})
_MAIL_SYSTEM = re.compile(
    r"(mailer-?daemon|postmaster|mail-?daemon|maildelivery|bounces?)(\+[^@]*)?@|^mailer-daemon$", re.I
)
_QUOTED_ID = re.compile(r"^[> \t]*Message-ID:[ \t\r\n]*<([^<>\s]{1,500})>", re.IGNORECASE | re.MULTILINE)
_FAILURES = ("failed", "delayed")


@dataclass(frozen=True, slots=True)
class Report:
    """What a mail says of one that was sent.

    Attributes:
        event: `bounced` (hard), `blocked` (soft), `deferred`, `delivered` or `spamreport`; None where it says none of these.
        recipient: the address that it is about, where it says one.
        status: the enhanced status code, as "5.1.1".
        detail: the remote server's words, on one line.
        original_ids: the Message-IDs of the mail that it is about, without angle brackets.
    """

    event: EventType | None
    recipient: str | None
    status: str | None
    detail: str | None
    original_ids: tuple[str, ...]


def read_report(message: Message, parts: list[Message], size: int) -> Report | None:
    """The report that a mail is; None where it is none. Never raises.

    Args:
        parts: the mail and all parts in it, in their order.
        size: of the whole mail, in bytes.
    """
    originals = _originals(message, parts)
    for part in parts:
        kind = part.get_content_type()
        if kind == "message/feedback-report":
            return _feedback(_fields(part), originals)
        if kind in ("message/delivery-status", "message/global-delivery-status"):
            return _status(_groups(part), originals)
    return _guess(message, parts, originals) if size <= MAX_GUESSED and from_mail_system(message) else None


def from_mail_system(message: Message) -> bool:
    """Whether a mail server, not a person, sent it: by its return path (RFC 5321, section 4.5.5), its type or its author."""
    if (header(message, "Return-Path") or "").replace(
        " ", ""
    ) == "<>" or message.get_content_type() == "multipart/report":
        return True
    author = header(message, "From") or ""
    return header(message, "X-Failed-Recipients") is not None or _MAIL_SYSTEM.search(author) is not None


def verdict_of(status: str | None, *, delayed: bool = False) -> EventType:
    """What an enhanced status code ("5.2.2", RFC 3463) of a failed or late delivery means; without one, a failure is hard: the reporter says it is for good."""
    if delayed:
        return EventType.DEFERRED
    found = _ENHANCED.search(status or "")
    if found is None:
        return EventType.BOUNCED
    klass, subject, detail = map(int, found.groups())
    hard = klass == 5 and subject in _SUBJECTS_OF_THE_ADDRESS and (subject, detail) not in _NOT_FOR_GOOD
    return EventType.BOUNCED if hard else EventType.BLOCKED


def _status(groups: list[dict[str, str]], originals: tuple[str, ...]) -> Report:
    """The worst that a notification says of a recipient (RFC 3464, section 2.3)."""
    about = [group for group in groups if "action" in group]
    ranked = ("failed", "delayed", "delivered")
    about.sort(key=lambda group: ranked.index(_word(group["action"])) if _word(group["action"]) in ranked else 9)
    if not about:
        return Report(None, None, None, None, originals)
    worst = about[0]
    action, said = _word(worst["action"]), worst.get("diagnostic-code", "")
    code = _code(worst.get("status", ""), said)
    address = (worst.get("original-recipient") or worst.get("final-recipient") or "").rpartition(";")[2]
    event = EventType.DELIVERED if action == "delivered" else None
    if action in _FAILURES:
        event = verdict_of(code, delayed=action == "delayed")
    return Report(event, stored_address(address), code, said[:500] or None, originals)


def _code(status: str, said: str) -> str | None:
    """The status, or the more precise one of the same class that the remote server said: many notifications say 5.0.0 and mean what is quoted."""
    own, quoted = _ENHANCED.search(status), _ENHANCED.search(said)
    if quoted is not None and (own is None or (own[1] == quoted[1] and own[2] == "0")):
        return quoted[0]
    if own is not None:
        return own[0]
    reply = _REPLY_CODE.search(f"{said} ")
    return f"{reply[1]}.0.0" if reply is not None else None


def _feedback(fields: dict[str, str], originals: tuple[str, ...]) -> Report:
    """RFC 5965, section 3: what is reported as no spam, or failed authentication (RFC 6591), is no complaint."""
    kind = _word(fields.get("feedback-type", ""))
    address = stored_address(fields.get("original-rcpt-to", "") or fields.get("removal-recipient", ""))
    return Report(EventType.SPAMREPORT if kind in _COMPLAINTS else None, address, None, kind[:100] or None, originals)


def _guess(message: Message, parts: list[Message], originals: tuple[str, ...]) -> Report | None:
    try:
        temporary, permanent = all_failures(message)
    except (
        Exception
    ):  # its detectors are many, and meant for lists' bounces: what breaks one is no bounce that they know
        return None
    found = sorted(permanent) or sorted(temporary)
    if not found:
        return None
    said = " ".join(text_of(part) for part in parts[:5] if part.get_content_type() == "text/plain")[:20_000]
    code = _code("", said)
    address = stored_address(found[0].decode("ascii", "replace"))
    return Report(verdict_of(code, delayed=not permanent), address, code, None, originals)


def _originals(message: Message, parts: list[Message]) -> tuple[str, ...]:
    """The Message-IDs of the mail that is returned, whole or as headers; or that is quoted in a text, of a mail that a mail system wrote."""
    found: list[str] = []
    for part in parts[1:]:
        if part.get_content_type() in ("text/rfc822-headers", "message/rfc822-headers", "message/global-headers"):
            found += _QUOTED_ID.findall(text_of(part))
        elif part.get("Message-ID") is not None:
            found += message_ids(header(part, "Message-ID"))
    for part in parts if not found and from_mail_system(message) else ():
        if part.get_content_maintype() == "text":
            found += _QUOTED_ID.findall(text_of(part))
    return tuple(dict.fromkeys(clean_text(name) for name in found))[:20]


def text_of(part: Message) -> str:
    """A part's content as text of one byte a character; empty where it has none."""
    payload = part.get_payload(decode=True)
    return payload[:MAX_GUESSED].decode("latin-1") if isinstance(payload, bytes) else ""


def inner_parts(part: Message) -> list[Message]:
    """The parts within a part. Asked of a text, `get_payload` would decode it by a charset that may be anything."""
    payload = part.get_payload() if part.is_multipart() else []
    return [inner for inner in payload if isinstance(inner, Message)]


def _groups(part: Message) -> list[dict[str, str]]:
    """The groups of fields of a notification: the parser makes each a message; one that came encoded is taken apart here."""
    if part.is_multipart():
        return [_fields(group) for group in inner_parts(part)[:50]]
    return [_lines(group) for group in re.split(r"\r?\n[ \t]*\r?\n", text_of(part))[:50]]


def _fields(part: Message) -> dict[str, str]:
    """The fields of a report, by lower-case name: as its headers, as those of the part within, or as text."""
    inner = next(iter(inner_parts(part)), part)
    own = {name.lower(): unfolded(value) for name, value in islice(inner.raw_items(), 50)}
    return own if part.is_multipart() else own | _lines(text_of(part))


def _lines(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in re.sub(r"\r?\n[ \t]+", " ", text).splitlines()[:100]:
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip().lower(), unfolded(value))
    return found


def _word(text: str) -> str:
    return (text.split() or [""])[0].strip(";").lower()
