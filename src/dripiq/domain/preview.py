"""What would a contact get on this plan, and when?

The machine and the gates, walked from a start on: each message leaves at the first instant at which it can, and then either nothing happens but time, or
what is assumed of the contact. Nothing is decided here that the engine would decide otherwise.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dripiq.domain.assumptions import REACTION, Assumption
from dripiq.domain.events import Trigger
from dripiq.domain.gates import Closed
from dripiq.domain.machine import advance, step
from dripiq.domain.moves import SEND, Accepted, Contact, Happened, OpenAction, Start, State, TimerDue
from dripiq.domain.outlook import MOST_STEPS, Knowledge, departure
from dripiq.domain.plan.model import Plan
from dripiq.domain.states import CampaignStatus, Confidence

_EVENTS: Final = {
    Assumption.OPENS: Trigger.OPENED,
    Assumption.CLICKS: Trigger.CLICKED,
    Assumption.REPLIES: Trigger.REPLIED,
}


@dataclass(frozen=True, slots=True)
class Planned:
    """One message of the walk: when it leaves (UTC), or would, had nothing closed its way; then the walk ends with it."""

    at: datetime
    node_id: str
    visit: int
    closed: Closed | None = None


def walk(plan: Plan, contact: Contact, known: Knowledge, start: datetime, assumed: Assumption) -> Iterator[Planned]:
    """The messages that a contact gets when its campaign starts at `start` (aware, UTC), in their order.

    Args:
        plan: a verified plan.
    """
    state = step(plan, State(CampaignStatus.DRAFT, contact=contact), Start(start), start).after
    reaction: Happened | None = None
    reactions: list[Happened] = []
    for _ in range(MOST_STEPS):
        action = min(state.actions, key=lambda each: each.run_at, default=None)
        if state.status.is_final or action is None:
            return
        if reaction is not None and reaction.at <= action.run_at:
            reactions.append(reaction)
            state, reaction = advance(plan, state, [reaction], reactions, reaction.at).after, None
        elif action.ref.name != SEND:
            state = advance(plan, state, [TimerDue(action.run_at, *action.ref)], reactions, action.run_at).after
        else:
            planned = _send(plan, state, action, known)
            yield planned
            if planned.closed is not None:
                return
            accepted = Accepted(planned.at, f"message {planned.visit}", *action.ref[:2])
            state = advance(plan, state, [accepted], (), planned.at).after
            reaction = _reaction(accepted, assumed)


def _send(plan: Plan, state: State, action: OpenAction, known: Knowledge) -> Planned:
    left = departure(plan, state, action, known, action.run_at)
    return Planned(left.at or left.met_at or action.run_at, *action.ref[:2], closed=left.closed)


def _reaction(accepted: Accepted, assumed: Assumption) -> Happened | None:
    trigger = _EVENTS.get(assumed)
    if trigger is None:
        return None
    at, name = accepted.at + REACTION, f"reaction to {accepted.message_id}"
    return Happened(at, trigger, accepted.message_id, name, Confidence.HUMAN)
