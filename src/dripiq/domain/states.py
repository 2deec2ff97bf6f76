"""Which words may stand in a status, type or class column?

Every fixed vocabulary of the schema is declared here once: the tables' CHECKs, the parsers and the engine all read it from these
enums. Values are lower-case, as stored.
"""

from enum import StrEnum


class Channel(StrEnum):
    """The ways a contact can be reached."""

    EMAIL = "email"
    SMS = "sms"


class CampaignStatus(StrEnum):
    """Where a contact's campaign stands as a whole. `completed`, `stopped` and `error` are final."""

    DRAFT = "draft"
    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    STOPPED = "stopped"
    ERROR = "error"

    @property
    def is_final(self) -> bool:
        """Whether the campaign takes no more moves (it can be enrolled again)."""
        return self in FINAL_CAMPAIGN_STATUSES


FINAL_CAMPAIGN_STATUSES = frozenset({CampaignStatus.COMPLETED, CampaignStatus.STOPPED, CampaignStatus.ERROR})


class ActionType(StrEnum):
    """What a scheduled action does when its time comes."""

    SEND = "send"
    TIMEOUT = "timeout"
    WAIT = "wait"
    CANCEL = "cancel"


class ActionStatus(StrEnum):
    """The life of a scheduled action: `queued` is leased to a worker, `held` waits for a cause other than time."""

    PENDING = "pending"
    QUEUED = "queued"
    HELD = "held"
    COMPLETED = "completed"
    CANCELED = "canceled"
    ERROR = "error"


OPEN_ACTION_STATUSES = frozenset({ActionStatus.PENDING, ActionStatus.QUEUED, ActionStatus.HELD})


class MessageStatus(StrEnum):
    """What is known of one message. Facts have an order (`rank`): a later fact never weakens an earlier one."""

    QUEUED = "queued"
    SENDING = "sending"
    IN_DOUBT = "in_doubt"
    SKIPPED = "skipped"
    SENT = "sent"
    DEFERRED = "deferred"
    FAILED = "failed"
    BLOCKED = "blocked"
    DELIVERED = "delivered"
    BOUNCED = "bounced"

    @property
    def rank(self) -> int:
        """The strength of the fact: an update to a status of lower rank changes nothing.

        `bounced` outranks `delivered`: a receiving server may accept a mail and bounce it afterwards (RFC 3464, section 2).
        """
        return _MESSAGE_RANKS[self]


_MESSAGE_RANKS = {status: rank for rank, status in enumerate(MessageStatus)}


class ValidationStatus(StrEnum):
    """Whether a sender identity has been shown to belong to its owner."""

    PENDING = "pending"
    VERIFIED = "verified"
    FAILED = "failed"


class ValidationResult(StrEnum):
    """What an address validation said."""

    VALID = "valid"
    RISKY = "risky"
    INVALID = "invalid"
    UNKNOWN = "unknown"


class PlanOrigin(StrEnum):
    """Who wrote a version of a plan."""

    AI = "ai"
    MANUAL = "manual"
    IMPORT = "import"
    MIGRATION = "migration"


class DeliveryStatus(StrEnum):
    """How far an archived webhook has been worked."""

    RECEIVED = "received"
    PROCESSED = "processed"
    FAILED = "failed"


class InboundClass(StrEnum):
    """What an inbound message is."""

    REPLY = "reply"
    AUTO_REPLY = "auto_reply"
    BOUNCE = "bounce"
    COMPLAINT = "complaint"
    UNKNOWN = "unknown"


class SuppressionScope(StrEnum):
    """How far a suppression reaches."""

    ADDRESS = "address"
    DOMAIN = "domain"


class SuppressionType(StrEnum):
    """Why an address is suppressed."""

    UNSUBSCRIBE = "unsubscribe"
    BOUNCE = "bounce"
    SPAMREPORT = "spamreport"
    BLOCKED = "blocked"
    INVALID = "invalid"
    MANUAL = "manual"


class SuppressionSource(StrEnum):
    """Where a suppression came from."""

    WEBHOOK = "webhook"
    LINK = "link"
    MANUAL = "manual"
    VALIDATION = "validation"
    IMPORT = "import"
    REPLY = "reply"


class LimitScope(StrEnum):
    """What a rate limit counts over."""

    TENANT = "tenant"
    SENDER = "sender"
    DOMAIN = "domain"


class Confidence(StrEnum):
    """How sure it is that a person, not a machine, caused an event."""

    HUMAN = "human"
    MACHINE = "machine"
    UNKNOWN = "unknown"


class Resolution(StrEnum):
    """What a person says of a message in doubt."""

    SENT = "sent"
    """The provider took it: windows and timers start with the doubt."""
    RESEND = "resend"
    """It is sent again: knowingly, and outside the guarantee. Where the campaign has moved on meanwhile, it counts as sent."""
    NOT_SENT = "not-sent"
    """The provider never took it, and it is not to be sent: as if it had been refused for good."""
