"""What does an event prove at the present visit: which way on does it take, and which timers does it make void?

Parts of the machine's rules for events. A window is held against the event's own time, and evidence against the weakest that the way on accepts.
"""

from datetime import datetime
from typing import Final

from dripiq.domain.events import AWAITED_BY_TIMER, CONTACT_WIDE, IMPLIES, Trigger
from dripiq.domain.moves import Decision, Happened, State, TimerDue, Verdict
from dripiq.domain.plan.model import Node, NodeAction, Plan, Transition
from dripiq.domain.states import Confidence
from dripiq.domain.timing import later
from dripiq.domain.visits import keep_only

_STRENGTH: Final = {Confidence.MACHINE: 0, Confidence.UNKNOWN: 1, Confidence.HUMAN: 2}


def heeded_by(plan: Plan) -> frozenset[Trigger]:
    """The events that can mean something to a campaign: what the plan answers or waits for, what implies that, and what belongs to the contact."""
    named = {AWAITED_BY_TIMER.get(way.on, way.on) for node in plan.nodes.values() for way in node.transitions}
    implying = {event for event, implied in IMPLIES.items() if implied in named}
    return CONTACT_WIDE | named | implying


def way_on(plan: Plan, node: Node, state: State, event: Happened) -> tuple[Transition | None, Verdict]:
    """The transition that the event takes, itself or by what it implies; else why none."""
    verdict = Verdict.UNANSWERED
    for trigger in (event.trigger, IMPLIES.get(event.trigger)):
        way = node.answer(trigger) if trigger is not None else None
        if way is None or trigger is None:
            continue
        if (taken := taken_as(state, event)) is not None and IMPLIES.get(trigger) != taken:
            verdict = Verdict.TAKEN_BEFORE
        elif _STRENGTH[event.confidence] < _STRENGTH[way.min_confidence]:
            verdict = Verdict.WEAK_EVIDENCE
        elif way.within is not None and event.at > later(
            plan, window_start(node, state, event), way.within, state.contact
        ):
            verdict = Verdict.OUT_OF_WINDOW
        else:
            return way, Verdict.MOVED
    return None, verdict


def taken_as(state: State, event: Happened) -> str | None:
    """As what the event has moved the campaign already; what was taken as the thing it implies may still be taken as itself."""
    if event.taken_as is None and state.cause is not None and state.cause.ref == event.ref:
        return state.cause.trigger
    return event.taken_as


def window_start(node: Node, state: State, event: Happened | TimerDue) -> datetime:
    """When the visit's windows and timers started: a send's with its message, a wait's on entry."""
    start = state.entered_at if node.action is NodeAction.WAIT or state.message is None else state.message.accepted_at
    return start or event.at


def void_timers(plan: Plan, node: Node, state: State, event: Happened) -> Decision | None:
    """Take away the timers that waited for this event; None where there were none.

    What the node answers would have moved it, had it qualified; so only what it does not answer is left to void a timer.
    """
    met = {t for t in (event.trigger, IMPLIES.get(event.trigger)) if t is not None and node.answer(t) is None}
    met.discard(taken_as(state, event))
    void = {t.on for t in node.timers if AWAITED_BY_TIMER[t.on] in met}
    # A reply is heard after a timer that was due before it, and does not take it back.
    actions = tuple(a for a in state.actions if a.ref.name not in void or a.run_at < event.at)
    if actions == state.actions:
        return None
    start = window_start(node, state, event)
    return keep_only(plan, node, state, actions, start, event.trigger, event.at, event_ref=event.ref)
