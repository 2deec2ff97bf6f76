"""What does Twilio tell us, in dripiq's words?

Two kinds of requests come: what became of a message of ours (a status callback), and a text message to us. Rules:

- Twilio says of neither when it happened: the time is that at which the request first came in, and a redelivery, which has the same bytes, meets it.
- A number that does not exist (30005) bounced for good; what a carrier, a filter or a phone refuses is `blocked`; what never left Twilio was `dropped`.
- A text that is one of the words by which Twilio closes a number is `unsubscribed`, whatever its case; `START` and `UNSTOP` are `resubscribed`. "Yes" is an
  answer to us before it is anything else. Any other text is a reply. Where the account's Advanced Opt-Out has judged it (`OptOutType`), that counts.

Source: Twilio, "Track the Message Status of Outbound Messages", "Error and Warning Dictionary", "Twilio support for opt-out keywords (SMS STOP filtering)".
"""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from dripiq.channels.provider_events import EventFault, ProviderEvent, Said
from dripiq.channels.sendgrid_request import clean_text, jsonb_safe
from dripiq.channels.twilio import SAID_STOP
from dripiq.channels.twilio_request import unpack
from dripiq.domain.events import EventType
from dripiq.domain.ids import digest
from dripiq.domain.states import Channel, Confidence

PROVIDER = "twilio"

_STATUSES = {
    "accepted": EventType.PROCESSED,
    "scheduled": EventType.PROCESSED,
    "queued": EventType.PROCESSED,
    "sending": EventType.PROCESSED,
    "sent": EventType.PROCESSED,
    "delivered": EventType.DELIVERED,
    "read": EventType.OPENED,
    "undelivered": EventType.BLOCKED,
    "failed": EventType.DROPPED,
    "canceled": EventType.DROPPED,
}
_NO_SUCH_NUMBER = "30005"
STOP_WORDS = frozenset({"stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout"})
START_WORDS = frozenset({"start", "unstop"})
_LONGEST_ID = 200
_OWN_FIELDS = frozenset({"Body", "dripiq_tenant", "dripiq_message"})


class Routing(NamedTuple):
    """What tells whose a request is: our ids as they travelled with the message, Twilio's name for it, and who wrote, where somebody did."""

    tenant_id: str | None
    sid: str | None
    writer: str | None
    is_stop_or_start: bool


def routing_of(raw: bytes) -> Routing:
    """What tells whose an archived request is. Raises InputError: `not_a_form`."""
    query, form = unpack(raw)
    writer = form.get("From", "") if _is_inbound(form) else ""
    word = _word_of(form) if writer else None
    return Routing(query.get("dripiq_tenant") or None, _sid(form), clean_text(writer) or None, word is not None)


def read_events(raw: bytes, received_at: datetime) -> tuple[list[ProviderEvent], list[EventFault]]:
    """The events of an archived request. Raises InputError: `not_a_form`."""
    query, form = unpack(raw)
    sid = _sid(form)
    if sid is None:
        return [], [EventFault(0, "unknown_event", "There is no MessageSid.")]
    if _is_inbound(form):
        return [_written(form, sid, received_at)], []
    status = form.get("MessageStatus", "")
    if status not in _STATUSES:
        return [], [EventFault(0, "unknown_event", f"{status[:100]!r} is no status of Twilio's messages.")]
    return _reported(query, form, sid, status, received_at), []


def _reported(
    query: Mapping[str, str], form: Mapping[str, str], sid: str, status: str, received_at: datetime
) -> list[ProviderEvent]:
    error = form.get("ErrorCode", "")
    event_type = _STATUSES[status]
    if error == _NO_SUCH_NUMBER:
        event_type = EventType.BOUNCED
    event = ProviderEvent(
        provider=PROVIDER,
        event_type=event_type,
        event_at=received_at,
        provider_event_id=_bounded(f"{sid}:{status}:{error}"),
        tenant_id=query.get("dripiq_tenant") or None,
        message_id=clean_text(query.get("dripiq_message", "")) or None,
        provider_message_id=sid,
        recipient=clean_text(form.get("To", "")).lower() or None,
        payload=_payload(form),
        channel=Channel.SMS,
    )
    return [event, _closed(event)] if error == str(SAID_STOP) else [event]


def _closed(refused: ProviderEvent) -> ProviderEvent:
    """What a refusal because of a STOP says of the number; of the message it says only that it did not leave."""
    return ProviderEvent(
        index=1,
        provider=PROVIDER,
        event_type=EventType.UNSUBSCRIBED,
        event_at=refused.event_at,
        provider_event_id=_bounded(f"{refused.provider_event_id}:stop"),
        tenant_id=refused.tenant_id,
        recipient=refused.recipient,
        payload=refused.payload,
        channel=Channel.SMS,
    )


def _written(form: Mapping[str, str], sid: str, received_at: datetime) -> ProviderEvent:
    return ProviderEvent(
        provider=PROVIDER,
        event_type=_word_of(form) or EventType.REPLIED,
        event_at=received_at,
        provider_event_id=_bounded(sid),
        recipient=clean_text(form.get("From", "")).lower() or None,
        confidence=Confidence.HUMAN,
        payload=_payload(form),
        channel=Channel.SMS,
        said=Said(clean_text(form.get("To", "")).lower(), clean_text(form.get("Body", ""))),
    )


def _is_inbound(form: Mapping[str, str]) -> bool:
    return "MessageStatus" not in form and "Body" in form


def _word_of(form: Mapping[str, str]) -> EventType | None:
    """What a text does to the number that it came from, where it does anything."""
    judged = form.get("OptOutType", "").upper()
    word = form.get("Body", "").strip().casefold()
    if judged == "STOP" or (not judged and word in STOP_WORDS):
        return EventType.UNSUBSCRIBED
    if judged == "START" or (not judged and word in START_WORDS):
        return EventType.RESUBSCRIBED
    return None


def _sid(form: Mapping[str, str]) -> str | None:
    return clean_text(form.get("MessageSid") or form.get("SmsSid") or "")[:_LONGEST_ID] or None


def _bounded(name: str) -> str:
    return name if len(name) <= _LONGEST_ID else digest(name)


def _payload(form: Mapping[str, str]) -> dict[str, object]:
    return {clean_text(name): jsonb_safe(value) for name, value in form.items() if name not in _OWN_FIELDS}
