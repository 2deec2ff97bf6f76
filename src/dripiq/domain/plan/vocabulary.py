"""Which keys, words, bounds and patterns does a plan have?

The one source of them: `parse` reads by it, `schema` publishes it. Patterns mean the whole text, and are written so that Python and ECMA-262 (which
JSON Schema uses) read them alike.
"""

from enum import StrEnum
from typing import Final

from dripiq.domain.events import AWAITED_BY_TIMER, Trigger


class Version(StrEnum):
    """The versions of the language."""

    V1_0 = "1.0"
    V1_1 = "1.1"


class Weekday(StrEnum):
    """The days of a send window."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"

    @property
    def iso(self) -> int:
        """1 for Monday to 7 for Sunday."""
        return [*Weekday].index(self) + 1


class DayLength(StrEnum):
    """What a day in a duration is: 24 hours, or one of the calendar."""

    FIXED = "24h"
    CALENDAR = "calendar"


class ReplyTo(StrEnum):
    """What a message answers."""

    PREVIOUS = "previous"


WORKDAYS: Final = (Weekday.MON, Weekday.TUE, Weekday.WED, Weekday.THU, Weekday.FRI)
"""The days of a send window that names none."""

STOPPING: Final = (Trigger.REPLIED, Trigger.BOUNCED, Trigger.UNSUBSCRIBED, Trigger.SPAMREPORT)
"""What `defaults.stopOn` can list."""

TIMERS: Final = tuple(AWAITED_BY_TIMER)

PLAN_KEYS: Final = (
    "version",
    "timezone",
    "quietHours",
    "sendWindow",
    "holidays",
    "jitter",
    "startNodeId",
    "nodes",
    "maxVisits",
    "stopCompanyOnReply",
    "defaults",
)
NEED_ZONE: Final = ("quietHours", "sendWindow", "holidays")
"""Keys that are meant in some place, so that `timezone` must stand beside them."""

DEFAULTS_KEYS: Final = ("timers", "stopOn", "timezone", "days")
QUIET_KEYS: Final = ("start", "end")
WINDOW_KEYS: Final = ("days", "start", "end")
SCHEDULE_KEYS: Final = ("delay",)
TEXT_KEYS: Final = ("subject", "body", "html")
SENDING_KEYS: Final = (*TEXT_KEYS, "schedule", "senderIdentityId", "replyTo", "variants")
"""Keys of a node that a wait has no use for."""

EMAIL_KEYS: Final = ("subject", "html", "replyTo")
"""Keys of a node or a variant that a text message has no use for."""

NODE_KEYS: Final = ("id", "channel", "action", *SENDING_KEYS, "transitions")
VARIANT_KEYS: Final = ("name", "weight", *TEXT_KEYS)
TRANSITION_KEYS: Final = ("on", "to", "within", "after", "minConfidence")
EVENT_KEYS: Final = ("within", "minConfidence")
"""Keys of a transition that a timer has no use for."""

TIMER_KEYS: Final = ("after",)
"""… and those that an event has no use for."""

MAX_NODES: Final = 5_000
MAX_TRANSITIONS: Final = 5_000
"""Of one node."""

MAX_VARIANTS: Final = 10
MAX_WEIGHT: Final = 1_000
MAX_HOLIDAYS: Final = 1_000
MAX_REGIONS: Final = 20
"""Of the holidays, how many may be regions: each costs up to a twentieth of a second to work out."""

MAX_VISITS: Final = 1_000
"""The largest `maxVisits`."""

ID_PATTERN: Final = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}"
"""A node's id or a variant's name."""

SENDER_PATTERN: Final = "[!-~]{1,64}"
"""The id of a sender identity: ASCII, so that no two ids look alike."""

CLOCK_PATTERN: Final = "([01][0-9]|2[0-3]):([0-5][0-9])"
DATE_PATTERN: Final = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
REGION_PATTERN: Final = "[A-Z]{2}(-[A-Z0-9]{1,3})?"
"""A country (ISO 3166-1) or a part of one (ISO 3166-2)."""

DURATION_PATTERN: Final = (
    "P(?=[0-9T])(?:([0-9]{1,9})W)?(?:([0-9]{1,9})D)?"
    "(?:T(?=[0-9])(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,9})(?:[.,]([0-9]{1,6}))?S)?)?"
)
"""ISO 8601, section 5.5.2.2, in weeks, days, hours, minutes and seconds."""
