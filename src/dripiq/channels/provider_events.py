"""What is an event, whoever tells of it?

The common form that each provider's words are translated into, by a module of its own.
"""

from dataclasses import dataclass, field
from datetime import datetime

from dripiq.domain.events import EventType
from dripiq.domain.states import Channel, Confidence


@dataclass(frozen=True, slots=True)
class Said:
    """A text message to us: our number that it came to, and its text."""

    to_address: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderEvent:
    """One event of a provider in dripiq's words; what the provider did not tell is left out.

    Attributes:
        index: its place in the request, from 0.
        provider: who tells of it.
        event_at: UTC, by the provider's clock.
        provider_event_id: the same for every delivery of the same event; at most 255 characters.
        tenant_id, message_id: our own ids as they travelled with the message; None where they did not come back.
        provider_message_id: the provider's name for the message, as its answer to the hand-over gave it.
        smtp_id: the Message-ID as the provider saw it, without angle brackets.
        recipient: the address that it is about, lower-case.
        ip: one address that PostgreSQL's `inet` takes.
        payload: everything else, safe for jsonb.
        channel: over which the message went, where we do not know the message ourselves.
        said: what somebody wrote to us; its message is the last that they were sent.
    """

    index: int = 0
    provider: str
    event_type: EventType
    event_at: datetime
    provider_event_id: str
    tenant_id: str | None = None
    message_id: str | None = None
    provider_message_id: str | None = None
    smtp_id: str | None = None
    recipient: str | None = None
    url: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    confidence: Confidence = Confidence.UNKNOWN
    payload: dict[str, object] = field(default_factory=dict)
    channel: Channel = Channel.EMAIL
    said: Said | None = None


@dataclass(frozen=True, slots=True)
class EventFault:
    """Why one event could not be translated: `not_an_object`, `unknown_event` or `bad_timestamp`."""

    index: int
    code: str
    detail: str
