"""What do those outside know, whom the database is held against?

The mails that really came, and the events that were really answered 2xx.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

Event = Mapping[str, object]
"""One event as SendGrid posts it."""


@dataclass(frozen=True, slots=True)
class ReceivedMail:
    """One mail that was answered with 250.

    Attributes:
        began_at: when its MAIL command came; the sender had committed itself to sending by then.
        queue_id: the name that the answer gave it.
        tenant_id, message_id: dripiq's own names, from the unique arguments; "" where it carries none.
        smtp_id: its Message-ID, without angle brackets.
    """

    began_at: datetime
    recipient: str
    sender: str
    queue_id: str
    tenant_id: str
    message_id: str
    smtp_id: str


def distinct(events: Sequence[Event]) -> list[Event]:
    """The events of which the others are copies: by their id, else by all that they say."""
    return list({event.get("sg_event_id") or orjson.dumps(event): event for event in events}.values())
