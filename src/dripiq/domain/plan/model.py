"""What does a plan say, once read?

The typed tree that `parse` makes from JSON and that `verify`, `machine` and the engine read. Every value here is complete: defaults are
filled in, durations are `timedelta`s, names are resolved. Instances are immutable and safe to share between threads and contacts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from enum import StrEnum
from typing import Final

from dripiq.domain.events import Trigger
from dripiq.domain.states import Channel, Confidence

STOP: Final = "stop"
"""The target that ends a campaign; no node may be called so."""

CONTACT_ZONE: Final = "contact"
"""The `timezone` of a plan whose wall clock is each contact's own."""


class CalendarSpan(timedelta):
    """A duration whose whole days are days of the calendar, as long as the clock on the wall makes them; the rest is hours.

    What a plan with `defaults.days: "calendar"` means by `P3D`; as a plain `timedelta` it counts 24 hours a day.
    """


class NodeAction(StrEnum):
    """What a node does on entry: send its message, or only wait."""

    SEND = "send"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Transition:
    """One way on from a node.

    Attributes:
        on: what it answers.
        to: a node's id, or `STOP`.
        within: for events: how long after the start of the visit's window the event's own time may be; None means as long as the visit lasts.
        after: for timers: how long after that start they fire; never None on a timer, the parser fills the default.
        min_confidence: the weakest evidence that counts (`human` > `unknown` > `machine`).
    """

    on: Trigger
    to: str
    within: timedelta | None = None
    after: timedelta | None = None
    min_confidence: Confidence = Confidence.MACHINE


@dataclass(frozen=True, slots=True)
class Content:
    """What a message says, as Liquid templates.

    Attributes:
        body: the text part; None where it is made from `html`.
        html: the HTML part; None for a message of text alone.
        variant: the name of the variant that this is; None on a node without variants.
        weight: how often this variant is taken, against the sum of all.
    """

    subject: str | None = None
    body: str | None = None
    html: str | None = None
    variant: str | None = None
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Node:
    """One step of a plan.

    Attributes:
        contents: what a send says: one, or, where it has variants, each of them (never empty on a send, empty on a wait).
        delay: from entry to the send.
        in_thread: the message answers the campaign's last one (`replyTo: "previous"`).
    """

    id: str
    channel: Channel
    action: NodeAction
    contents: tuple[Content, ...] = ()
    delay: timedelta = timedelta(0)
    sender_identity_id: str | None = None
    in_thread: bool = False
    transitions: tuple[Transition, ...] = ()

    @property
    def timers(self) -> tuple[Transition, ...]:
        """The transitions that fire by time."""
        return tuple(transition for transition in self.transitions if transition.after is not None)

    def answer(self, trigger: Trigger) -> Transition | None:
        """The transition that answers `trigger`, if the node has one (a verified plan has one at most)."""
        return next((transition for transition in self.transitions if transition.on is trigger), None)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A span of the local day in which nothing is sent; it runs over midnight where `end` is not after `start`."""

    start: time
    end: time


@dataclass(frozen=True, slots=True)
class SendWindow:
    """When sends may leave: from `start` up to `end` of these days, by the clock on the wall; over midnight where `end` is not after `start`
    (the day is then the one on which it starts). A window that ends when it starts is the whole day.

    Attributes:
        days: ISO weekdays, 1 for Monday to 7 for Sunday.
    """

    days: frozenset[int]
    start: time = time(0)
    end: time = time(0)


@dataclass(frozen=True, slots=True)
class Holidays:
    """Days on which nothing is sent: public holidays of these countries (ISO 3166-1 "DE", or with a subdivision, "DE-BY"), and dates."""

    regions: tuple[str, ...] = ()
    dates: frozenset[date] = frozenset()


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole plan.

    Attributes:
        version: the language's version, "1.0" or "1.1".
        timezone: IANA name of the zone in which days and times of day are meant, or `CONTACT_ZONE`.
        fallback_timezone: the zone of contacts that have none, where `timezone` is the contact's.
        jitter: each send is put off by a part of this, which contact and node decide.
        stop_company_on_reply: a reply also stops the campaigns of the other contacts of the same lead.
        nodes: by id, in the order written.
        max_visits: how often one node may be entered per enrolment; None where the verifier has shown that no loop is unbounded.
        stop_on: the contact-wide events that stop the campaign where a node does not answer them; `unsubscribed` and `spamreport` always in it.
        plan_hash: SHA-256 (hex) of the canonical JSON; equal plans have equal hashes.
    """

    version: str
    timezone: str
    start_node_id: str
    nodes: Mapping[str, Node]
    plan_hash: str
    quiet_hours: QuietHours | None = None
    send_window: SendWindow | None = None
    holidays: Holidays = Holidays()
    jitter: timedelta = timedelta(0)
    fallback_timezone: str = "UTC"
    stop_company_on_reply: bool = False
    max_visits: int | None = None
    stop_on: frozenset[Trigger] = field(
        default=frozenset({Trigger.REPLIED, Trigger.BOUNCED, Trigger.UNSUBSCRIBED, Trigger.SPAMREPORT})
    )

    def node(self, node_id: str) -> Node:
        """The node of that id; KeyError where there is none (a verified plan never asks for one)."""
        return self.nodes[node_id]


ALWAYS_STOP: Final = frozenset({Trigger.UNSUBSCRIBED, Trigger.SPAMREPORT})
"""What no plan can carry on after: the contact has asked for silence."""

DEFAULT_TIMERS: Final[Mapping[Trigger, timedelta]] = {
    Trigger.NO_OPEN: timedelta(hours=72),
    Trigger.NO_CLICK: timedelta(hours=24),
    Trigger.NO_REPLY: timedelta(hours=72),
}
"""How long a timer waits where the plan names it without `after`."""
