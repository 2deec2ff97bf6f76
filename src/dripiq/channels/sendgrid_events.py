"""What does SendGrid's Event Webhook say, in dripiq's words?

First `verify_signature` on the raw request, then `split_events` into one slice of bytes per event (both from `sendgrid_request`), then
`translate`. Rules:

- One bad event costs that one: it becomes an `EventFault`, and its neighbours are translated.
- What is not in the event is not made up: `event_at` is the event's own `timestamp`, and an event without `sg_event_id` is named by a hash of
  what it says, so that a redelivery meets its first copy.
- `bounced` is a hard bounce, for it suppresses the address; every other failed delivery is `blocked`.

Source: Twilio SendGrid, "Event Webhook Reference" and "Bounce and Block Classifications".
"""

import ipaddress
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

from dripiq.channels.provider_events import EventFault, ProviderEvent
from dripiq.channels.sendgrid_request import (
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    RawEvent,
    clean_text,
    jsonb_safe,
    split_events,
    verify_signature,
)
from dripiq.domain.events import EventType
from dripiq.domain.ids import digest
from dripiq.domain.states import Confidence

__all__ = [
    "PROVIDER",
    "SIGNATURE_HEADER",
    "TIMESTAMP_HEADER",
    "RawEvent",
    "read_events",
    "routing_of",
    "split_events",
    "translate",
    "verify_signature",
]

PROVIDER = "sendgrid"

_TYPES = {
    "processed": EventType.PROCESSED,
    "delivered": EventType.DELIVERED,
    "deferred": EventType.DEFERRED,
    "open": EventType.OPENED,
    "click": EventType.CLICKED,
    "bounce": EventType.BOUNCED,
    "blocked": EventType.BLOCKED,
    "dropped": EventType.DROPPED,
    "spamreport": EventType.SPAMREPORT,
    "unsubscribe": EventType.UNSUBSCRIBED,
    "group_unsubscribe": EventType.UNSUBSCRIBED,
    "group_resubscribe": EventType.RESUBSCRIBED,
}
_OWN_FIELDS = frozenset(
    {
        "event",
        "timestamp",
        "sg_event_id",
        "url",
        "ip",
        "useragent",
        "sg_machine_open",
        "dripiq_tenant",
        "dripiq_message",
    }
)
"""What a `ProviderEvent` holds in a field of its own; the rest is its payload."""

_SECONDS = re.compile(r"\d{1,10}(\.\d{1,9})?")
_TOO_LATE = 10_000_000_000
"""In 2286. An event of a strange year (1970, 2100) is still an event, of an unsubscribing perhaps; but this large it would be milliseconds."""

_ENHANCED = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?!\.?\d)")
_NOT_THE_ADDRESS = ("content", "reputation", "frequency", "technical")
_FAULTS_OF_THE_ADDRESS = frozenset({0, 1, 2})
_FAULTS_OF_SOMETHING_ELSE = frozenset({(1, 7), (1, 8), (2, 2), (2, 3)})
_ID_LENGTH = 255


def read_events(raw: bytes, _received_at: datetime) -> tuple[list[ProviderEvent], list[EventFault]]:
    """The events of an archived request, and what of it cannot be translated. Raises InputError: `not_json`, `not_an_array`."""
    translated = [translate(element.value, element.index) for element in split_events(raw)]
    events = [event for event in translated if isinstance(event, ProviderEvent)]
    return events, [fault for fault in translated if isinstance(fault, EventFault)]


def translate(event: object, index: int) -> ProviderEvent | EventFault:
    """One element of SendGrid's array (a `RawEvent.value`) in dripiq's words; never raises."""
    if not isinstance(event, Mapping):
        return EventFault(index, "not_an_object", "An event must be a JSON object.")
    named = _text(event, "event")
    event_type = _TYPES.get(named or "")
    if event_type is None:
        return EventFault(
            index, "unknown_event", f"{(named or '')[:100]!r} is none of SendGrid's delivery or engagement events."
        )
    event_at = _instant(event.get("timestamp"))
    if event_at is None:
        return EventFault(index, "bad_timestamp", "`timestamp` must be seconds since 1970, of ten digits at most.")
    sendgrid_id, smtp_id, recipient = _text(event, "sg_message_id"), _text(event, "smtp-id"), _text(event, "email")
    message_id, url, ip = _argument(event, "dripiq_message"), _text(event, "url"), _address(_text(event, "ip") or "")
    return ProviderEvent(
        index=index,
        provider=PROVIDER,
        event_type=_bounce_type(event) if event_type is EventType.BOUNCED else event_type,
        event_at=event_at,
        provider_event_id=_identity(event, event_at),
        tenant_id=_argument(event, "dripiq_tenant"),
        message_id=message_id,
        # The first part of `sg_message_id` is the name that SendGrid's SMTP reply gave ("queued as …"); the rest is SendGrid's own.
        provider_message_id=(sendgrid_id.partition(".")[0] or None) if sendgrid_id else None,
        smtp_id=(smtp_id.strip("<> ") or None) if smtp_id else None,
        recipient=recipient.lower() if recipient else None,
        url=url,
        ip=ip,
        user_agent=_text(event, "useragent"),
        confidence=Confidence.MACHINE if event.get("sg_machine_open") is True else Confidence.UNKNOWN,
        payload={
            clean_text(key): jsonb_safe(value)
            for key, value in event.items()
            if key not in _OWN_FIELDS or (key == "ip" and ip is None)
        },
    )


def routing_of(event: object) -> tuple[str | None, str | None]:
    """Whose an element of SendGrid's array is: our tenant's id as it travelled with the message, and SendGrid's name for the message."""
    if not isinstance(event, Mapping):
        return None, None
    sendgrid_id = _text(event, "sg_message_id")
    return _argument(event, "dripiq_tenant"), (sendgrid_id.partition(".")[0] or None) if sendgrid_id else None


def _bounce_type(event: Mapping[str, object]) -> EventType:
    """Hard or soft: does the failure lie with the address, for good?

    SendGrid's `type` "blocked" is a failure that it does not hold against the address. For the others its classification decides where it is
    definite, then the enhanced status code (RFC 3463, section 3: class 5 with a subject of "other", addressing or mailbox, but for the sender's
    address, a full mailbox and a message too long). With neither, SendGrid's word "bounce" stands.
    """
    if event.get("type") == "blocked":
        return EventType.BLOCKED
    classification = (_text(event, "bounce_classification") or "").lower()
    if classification == "invalid address":
        return EventType.BOUNCED
    if classification.startswith(_NOT_THE_ADDRESS):
        return EventType.BLOCKED
    found = _ENHANCED.search(_text(event, "status") or "") or _ENHANCED.search(_text(event, "reason") or "")
    if found is None:
        return EventType.BOUNCED
    status_class, subject, detail = map(int, found.groups())
    hard = (
        status_class == 5 and subject in _FAULTS_OF_THE_ADDRESS and (subject, detail) not in _FAULTS_OF_SOMETHING_ELSE
    )
    return EventType.BOUNCED if hard else EventType.BLOCKED


def _identity(event: Mapping[str, object], event_at: datetime) -> str:
    sg_event_id = _text(event, "sg_event_id")
    if sg_event_id is not None:
        return sg_event_id if len(sg_event_id) <= _ID_LENGTH else digest(sg_event_id)
    said = [_text(event, key) or "" for key in ("sg_message_id", "smtp-id", "email", "event", "url")]
    return digest(*said, _argument(event, "dripiq_message") or "", event_at.isoformat())


def _instant(value: object) -> datetime | None:
    if isinstance(value, str) and _SECONDS.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _TOO_LATE:
        return None
    return datetime.fromtimestamp(value, UTC)


def _text(event: Mapping[str, object], key: str) -> str | None:
    """A field as clean text; None where it is missing, empty, or neither text nor a whole number."""
    value = event.get(key)
    if isinstance(value, str):
        return clean_text(value).strip() or None
    return str(jsonb_safe(value)) if isinstance(value, int) and not isinstance(value, bool) else None


def _argument(event: Mapping[str, object], key: str) -> str | None:
    """One of our custom arguments: beside the other fields as SendGrid posts them, or still in its `unique_args`."""
    found = _text(event, key)
    if found is None:
        arguments = event.get("unique_args")
        found = _text(arguments, key) if isinstance(arguments, Mapping) else None
    return found


@lru_cache(maxsize=4096)
def _address(text: str) -> str | None:
    """One address for `inet`, which has no zones; None for anything else. (Cached: mail proxies open from few addresses.)"""
    try:
        return None if "%" in text else str(ipaddress.ip_address(text))
    except ValueError:
        return None
