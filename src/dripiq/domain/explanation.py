"""What is there to say of a contact's campaigns: where they stand, what keeps the next message, and how they came here?

Plain values, as `dripiq.explain` returns them and `dripiq explain --json` prints them. All times are aware and in UTC.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from dripiq.domain.gates import Closed, GateVerdict
from dripiq.domain.outlook import Departure, Way
from dripiq.domain.states import CampaignStatus, Channel


class Prospect(StrEnum):
    """What a worker would do with a campaign's message if it looked at it at that time."""

    SENDS = "sends"
    PUTS_OFF = "puts_off"
    HOLDS = "holds"
    DROPS = "drops"
    STOPS = "stops"
    """These four: what the first closed gate does with it."""
    NOT_DUE = "not_due"
    """It is looked at when its time has come."""
    HELD = "held"
    """It is held already, until somebody acts."""
    IN_HAND = "in_hand"
    """A worker has it."""
    NOTHING_TO_SEND = "nothing_to_send"
    """The campaign waits for an event or a timer, or is over."""


@dataclass(frozen=True, slots=True)
class PendingSend:
    """The message that is still to leave at the present visit.

    Attributes:
        due_at: when it is looked at next.
        status: pending, queued (a worker has it) or held.
        reason: why it is held, or was put off.
        attempts: how often a worker has taken it up.
        sender_reason: why it leaves from that address, as a clause.
        variant: which variant of the node's message this contact gets; None where there is one only.
    """

    node_id: str
    visit: int
    due_at: datetime
    status: str
    reason: str | None
    last_error: str | None
    attempts: int
    to_address: str | None
    from_address: str | None
    sender_reason: str | None
    variant: str | None


@dataclass(frozen=True, slots=True)
class Step:
    """One transition of the path so far."""

    seq: int
    at: datetime
    trigger: str
    from_node: str | None
    to_node: str | None
    from_status: CampaignStatus
    to_status: CampaignStatus
    reason: str | None
    actor: str | None


@dataclass(frozen=True, slots=True)
class SentMessage:
    """One message of the path so far, whatever became of it."""

    id: str
    node: str
    visit: int
    to: str
    subject: str | None
    status: str
    attempts: int
    sent_at: datetime | None
    error_code: str | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class CampaignExplanation:
    """One campaign.

    Attributes:
        node_id: where it stands; None before its start.
        action: what that node does, send or wait; None where the plan has no such node any more.
        timezone: the zone in which its plan's days and times of day are meant for this contact.
        why: one sentence on why it sends now, or why not.
        helps: what somebody can do where it does not go on by itself: a command, or a sentence.
        prospect, closed: what a worker would do at the time asked for, and what it would meet.
        gates: what every gate says at that time of the next message; none where none is to come.
        next: the next message if nothing happens but time; None where there is none.
        ways: what can move it, from here or from its message's leaving.
        stops_on: events that stop it wherever it stands.
        path: all transitions, of earlier enrolments too.
    """

    id: str
    channel: Channel
    status: CampaignStatus
    node_id: str | None
    action: str | None
    visit: int
    entered_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    plan_hash: str
    timezone: str
    why: str
    helps: str | None
    prospect: Prospect
    closed: Closed | None
    send: PendingSend | None
    gates: tuple[GateVerdict, ...]
    next: Departure | None
    ways: tuple[Way, ...]
    stops_on: tuple[str, ...]
    path: tuple[Step, ...]
    messages: tuple[SentMessage, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """One contact.

    Attributes:
        at: the time asked for.
        known_at: the time of what is known: where `at` is later, nothing else is taken to happen until then.
        why: one sentence for all of it.
        campaigns: one for each channel; those of the past as well.
    """

    tenant_id: str
    contact_id: str
    name: str | None
    email: str | None
    at: datetime
    known_at: datetime
    why: str
    campaigns: tuple[CampaignExplanation, ...]
