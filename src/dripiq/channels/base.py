"""What must a way of sending be able to do?

One protocol, `Sender`. The engine hands it a batch and gets back one `Outcome` per message; a sender never raises for what a provider
says or fails to say. The difference between *temporary* and *unknown* is the whole of at-most-once: temporary means that the provider
surely did not take the message, so it may be tried again; unknown means that it may have, so it must not be.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from dripiq.domain.states import Channel, SuppressionType


class Verdict(StrEnum):
    """What came of a hand-over."""

    ACCEPTED = "accepted"
    """The provider took the message and said so."""
    TEMPORARY = "temporary"
    """The provider surely did not take it, and may later."""
    PERMANENT = "permanent"
    """The provider surely did not take it, and never will."""
    UNKNOWN = "unknown"
    """The connection ended between hand-over and answer: nobody here knows."""


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """One message, ready to leave.

    Attributes:
        id: the `outbound_messages.id`; travels with the message so that every later fact can be tied to it.
        message_id: the RFC 5322 Message-ID, without angle brackets.
        body: plain text, rendered.
        at: when it was made ready, by the engine's clock: the message's Date.
        html: the HTML part, rendered; None for a message of text alone.
        in_reply_to: the Message-ID of the message that this one answers, without angle brackets.
        references: the Message-IDs of the thread so far, the oldest first; `in_reply_to` is the last.
        unsubscribe_url: for the RFC 8058 headers; None leaves them out.
        ip_pool: the provider's name for the addresses that it should send from, where the sender identity has its own.
    """

    id: str
    tenant_id: str
    channel: Channel
    to_address: str
    to_name: str | None
    from_address: str
    from_name: str
    reply_to: str | None
    subject: str | None
    body: str
    message_id: str
    at: datetime
    html: str | None = None
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    unsubscribe_url: str | None = None
    ip_pool: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one message.

    Attributes:
        id: the message's `id`.
        provider_message_id: the provider's own name for it, where it gave one.
        code: the provider's code as given ("550 5.1.1", "429"), or dripiq's for a failure without one ("connect", "timeout").
        detail: one line for people, without secrets.
        retry_after: of a temporary outcome that says nothing about this message (a rate limit, a login that fails, nobody listening): how long
            to leave the provider alone. However often it happens, the message is not given up for it.
        closes: of a permanent outcome that says that nobody may or can be written to there: as what the address is to be suppressed.
    """

    id: str
    verdict: Verdict
    provider_message_id: str | None = None
    code: str | None = None
    detail: str | None = None
    retry_after: timedelta | None = None
    closes: SuppressionType | None = None


def one_line(text: str) -> str:
    """A provider's words as an outcome's `detail`: on one printable line of at most 300 characters."""
    return " ".join("".join(char if char.isprintable() else " " for char in text[:2000]).split())[:300]


class Secret(Protocol):
    """A password or key that doesn't show itself (pydantic's `SecretStr` is one)."""

    def get_secret_value(self) -> str:
        """The secret itself. Raises DripiqError where it cannot be found."""
        ...


class Sender(Protocol):
    """A way of sending over one channel.

    Attributes:
        provider: the name stored with each message ("smtp", "folder", …).
        channel: what it carries.
        capacity: how many hand-overs can run at once; the engine never has more than that committed to sending.
        timeout: the longest that one `send` call can take; a hand-over starts only if its lease outlives it.
    """

    provider: str
    channel: Channel
    capacity: int
    timeout: timedelta

    async def send(self, batch: Sequence[OutgoingMessage]) -> list[Outcome]:
        """Hand over at most `capacity` messages; one outcome each, in any order, within `timeout`."""
        ...

    async def close(self) -> None:
        """Give up connections; no `send` is under way."""
        ...
