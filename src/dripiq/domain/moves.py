"""What goes into the machine, and what comes out?

Plain values. *Inputs* are everything that can happen to a campaign; *State* is all that the machine knows of one; a *Decision* is what
to write. All times are aware datetimes in UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from dripiq.domain.events import Trigger
from dripiq.domain.plan.model import Plan
from dripiq.domain.states import ActionType, CampaignStatus, Confidence

SEND = "send"
"""The name of a visit's send among its actions."""
CLOSE = "close"
"""The name of the action that ends a visit once none of its ways on can happen any more."""
PAUSED = "campaign_paused"
"""The reason on sends that a pause holds."""
IN_DOUBT = "in_doubt"
"""The reason on sends whose hand-over nobody knows the end of; only evidence or a policy releases them."""


# ---- inputs


@dataclass(frozen=True, slots=True)
class Start:
    """A draft is activated."""

    at: datetime
    actor: str | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """An operator pauses the campaign."""

    at: datetime
    actor: str | None = None


@dataclass(frozen=True, slots=True)
class Resume:
    """An operator resumes it, or releases what is held."""

    at: datetime
    actor: str | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """An operator or a rule (`actor` None) ends the campaign; `reason` is a code, `event_ref` the event that called for it."""

    at: datetime
    reason: str
    actor: str | None = None
    event_ref: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took the present visit's message."""

    at: datetime
    message_id: str
    node_id: str
    visit: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider will never take the present visit's message; `code` says why."""

    at: datetime
    node_id: str
    visit: int
    code: str


@dataclass(frozen=True, slots=True)
class Happened:
    """A recorded event of some message of this campaign.

    Attributes:
        at: the event's own time.
        ref: its identity.
        taken_as: as what it has moved the campaign already, where it has.
    """

    at: datetime
    trigger: Trigger
    message_id: str
    ref: str
    confidence: Confidence = Confidence.UNKNOWN
    taken_as: str | None = None


@dataclass(frozen=True, slots=True)
class TimerDue:
    """A scheduled timer's time has come; `at` is its `run_at`, not the time of processing."""

    at: datetime
    node_id: str
    visit: int
    name: str


@dataclass(frozen=True, slots=True)
class Replan:
    """The campaign follows another plan from now on; it is handed in under the new one.

    Attributes:
        node_id: the new plan's node for the one where the campaign stands, or `STOP`; of no meaning to a draft.
        since: the plan that it followed so far.
        sent_by: the new plan's node for the one whose message came last, where it has one.
    """

    at: datetime
    node_id: str
    since: Plan = field(repr=False)
    actor: str | None = None
    sent_by: str | None = None


Input = Start | Pause | Resume | Stop | Accepted | Refused | Happened | TimerDue | Replan


# ---- state


class ActionRef(NamedTuple):
    """Which action of a campaign: its name at a visit of a node."""

    node_id: str
    visit: int
    name: str


@dataclass(frozen=True, slots=True)
class OpenAction:
    """An action that is still to happen. `held` is the reason it waits for something other than time."""

    ref: ActionRef
    run_at: datetime
    held: str | None = None

    @property
    def type(self) -> ActionType:
        """A send, or a time-out."""
        return ActionType.SEND if self.ref.name == SEND else ActionType.TIMEOUT


@dataclass(frozen=True, slots=True)
class Message:
    """The message of the present visit: sent by it, or, on a wait, the last one sent before entry; and of which node's which visit it was."""

    id: str
    accepted_at: datetime
    node_id: str = ""
    visit: int = 0


class Contact(NamedTuple):
    """What decides a contact's own times and variants: its id, and its IANA zone where it has a known one."""

    id: str = ""
    timezone: str | None = None


NOBODY: Final = Contact()
"""Where no contact is meant, or none matters."""


@dataclass(frozen=True, slots=True)
class Cause:
    """The event that brought the campaign to its node, and as what it was taken."""

    ref: str
    trigger: str


@dataclass(frozen=True, slots=True)
class State:
    """Where a campaign stands.

    Attributes:
        visit: the number of the present visit; it counts every entry of every node, and goes on over enrolments.
        visits: how often each node was entered in this enrolment.
        entered_at: the time of what caused the entry, not of its processing.
        seq: the number of the last transition recorded.
        actions: what is still to happen in the present visit.
        contact: whose campaign it is.
        earlier: while a send is still to leave, the last message sent before its visit.
    """

    status: CampaignStatus
    node_id: str | None = None
    visit: int = 0
    visits: Mapping[str, int] = field(default_factory=dict)
    entered_at: datetime | None = None
    seq: int = 0
    message: Message | None = None
    actions: tuple[OpenAction, ...] = ()
    cause: Cause | None = None
    contact: Contact = NOBODY
    earlier: Message | None = None


# ---- decisions


class Verdict(StrEnum):
    """What the machine made of one input."""

    MOVED = "moved"
    ARMED = "armed"
    HELD = "held"
    REPLANNED = "replanned"
    RELEASED = "released"
    VOIDED_TIMER = "voided_timer"
    FINAL = "campaign_is_final"
    NOT_APPLICABLE = "not_applicable"
    OTHER_MESSAGE = "of_another_message"
    OTHER_VISIT = "of_another_visit"
    AFTER_TIMER = "after_a_timer_that_is_due"
    OUT_OF_WINDOW = "out_of_window"
    WEAK_EVIDENCE = "weak_evidence"
    UNANSWERED = "unanswered"
    TAKEN_BEFORE = "taken_before"


@dataclass(frozen=True, slots=True)
class Move:
    """One row of `campaign_transitions`."""

    seq: int
    from_node_id: str | None
    to_node_id: str | None
    from_status: CampaignStatus
    to_status: CampaignStatus
    trigger: str
    at: datetime
    reason: str | None = None
    event_ref: str | None = None
    actor: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from one or more inputs: the state after them, the moves to record, and, as differences, the actions to write."""

    before: State
    after: State
    moves: tuple[Move, ...] = ()
    done: frozenset[ActionRef] = frozenset()
    verdicts: tuple[Verdict, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether there is anything to write."""
        return self.before != self.after or bool(self.done)

    @property
    def schedule(self) -> tuple[OpenAction, ...]:
        """Actions that are new."""
        known = {action.ref for action in self.before.actions}
        return tuple(action for action in self.after.actions if action.ref not in known)

    @property
    def change(self) -> tuple[OpenAction, ...]:
        """Actions that stay open with another time or hold."""
        known = {action.ref: action for action in self.before.actions}
        return tuple(a for a in self.after.actions if a.ref in known and known[a.ref] != a)

    @property
    def complete(self) -> tuple[ActionRef, ...]:
        """Actions that have done what they were for."""
        return tuple(action.ref for action in self.before.actions if action.ref in self.done)

    @property
    def cancel(self) -> tuple[ActionRef, ...]:
        """Actions that are no longer to happen."""
        still = {action.ref for action in self.after.actions} | self.done
        return tuple(action.ref for action in self.before.actions if action.ref not in still)

    def then(self, later: "Decision") -> "Decision":
        """This decision followed by `later`, which started from this one's `after`."""
        return replace(
            self,
            after=later.after,
            moves=self.moves + later.moves,
            done=self.done | later.done,
            verdicts=self.verdicts + later.verdicts,
        )
