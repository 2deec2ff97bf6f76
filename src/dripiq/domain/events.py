"""What can happen to a message, in which words?

One vocabulary for tables, plans and machine; a provider's words are translated at the door. Timers (`no_*`) are events too: dripiq makes
them when nothing came in time.
"""

from enum import StrEnum

from dripiq.domain.states import MessageStatus, SuppressionType


class EventType(StrEnum):
    """Every kind of row that `message_events` can hold."""

    PROCESSED = "processed"
    DELIVERED = "delivered"
    DEFERRED = "deferred"
    OPENED = "opened"
    CLICKED = "clicked"
    BOUNCED = "bounced"
    BLOCKED = "blocked"
    DROPPED = "dropped"
    SPAMREPORT = "spamreport"
    UNSUBSCRIBED = "unsubscribed"
    RESUBSCRIBED = "resubscribed"
    REPLIED = "replied"
    NO_OPEN = "no_open"
    NO_CLICK = "no_click"
    NO_REPLY = "no_reply"


class Trigger(StrEnum):
    """What a plan's transition can answer (its `on`)."""

    DELIVERED = "delivered"
    OPENED = "opened"
    CLICKED = "clicked"
    REPLIED = "replied"
    BOUNCED = "bounced"
    BLOCKED = "blocked"
    SPAMREPORT = "spamreport"
    UNSUBSCRIBED = "unsubscribed"
    FAILED = "failed"
    NO_OPEN = "no_open"
    NO_CLICK = "no_click"
    NO_REPLY = "no_reply"

    @property
    def is_timer(self) -> bool:
        """Whether the trigger is the absence of an event after a time."""
        return self in AWAITED_BY_TIMER


AWAITED_BY_TIMER = {
    Trigger.NO_OPEN: Trigger.OPENED,
    Trigger.NO_CLICK: Trigger.CLICKED,
    Trigger.NO_REPLY: Trigger.REPLIED,
}
"""The event that each timer waits for."""

IMPLIES = {Trigger.CLICKED: Trigger.OPENED}
"""An event that cannot have happened without another: who clicked has opened."""

CONTACT_WIDE = frozenset({Trigger.UNSUBSCRIBED, Trigger.SPAMREPORT, Trigger.BOUNCED, Trigger.REPLIED})
"""What an event says of the contact, whichever message it is of."""

MESSAGE_STATUS_OF_EVENT = {
    EventType.PROCESSED: MessageStatus.SENT,
    EventType.DELIVERED: MessageStatus.DELIVERED,
    EventType.DEFERRED: MessageStatus.DEFERRED,
    EventType.OPENED: MessageStatus.DELIVERED,
    EventType.CLICKED: MessageStatus.DELIVERED,
    EventType.SPAMREPORT: MessageStatus.DELIVERED,
    EventType.UNSUBSCRIBED: MessageStatus.DELIVERED,
    EventType.REPLIED: MessageStatus.DELIVERED,
    EventType.BOUNCED: MessageStatus.BOUNCED,
    EventType.BLOCKED: MessageStatus.BLOCKED,
    EventType.DROPPED: MessageStatus.FAILED,
}
"""What an event says of its message: nobody opens what was not delivered."""

SUPPRESSION_OF_EVENT = {
    EventType.UNSUBSCRIBED: SuppressionType.UNSUBSCRIBE,
    EventType.SPAMREPORT: SuppressionType.SPAMREPORT,
    EventType.BOUNCED: SuppressionType.BOUNCE,
}
"""Which events suppress the address they are about (a `bounced` event is a hard bounce; soft ones are `blocked` or `deferred`)."""
