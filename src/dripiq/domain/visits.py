"""What is a visit: how does a campaign enter a node, what does it arm there, and how does it end?

The parts that the rules of the machine are made of. Pure, like them.
"""

from collections.abc import Container
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from dripiq.domain.moves import (
    CLOSE,
    PAUSED,
    SEND,
    ActionRef,
    Cause,
    Contact,
    Decision,
    Move,
    OpenAction,
    State,
    Verdict,
)
from dripiq.domain.plan.model import STOP, Node, NodeAction, Plan, Transition
from dripiq.domain.states import CampaignStatus
from dripiq.domain.timing import later, send_at

OPEN_END: Final = timedelta(days=30)
"""How long an event without `within` can still move a visit that has no timer."""


def closing_time(plan: Plan, node: Node, contact: Contact, start: datetime) -> datetime | None:
    """When the last event of a visit without timers can still move it; None where no event can."""
    spans = [OPEN_END if way.within is None else way.within for way in node.transitions if not way.on.is_timer]
    return max((later(plan, start, span, contact) for span in spans), default=None)


def arm(plan: Plan, node: Node, state: State, start: datetime, *, void: Container[str] = ()) -> State:
    """Start the visit's timers, but those that are void, or the closing of its windows where there are none."""
    timers = [
        OpenAction(ActionRef(node.id, state.visit, t.on), later(plan, start, t.after, state.contact))
        for t in node.timers
        if t.after is not None and t.on not in void
    ]
    if not timers and (closes_at := closing_time(plan, node, state.contact, start)) is not None:
        timers = [OpenAction(ActionRef(node.id, state.visit, CLOSE), closes_at)]
    return replace(state, actions=tuple(timers))


def keep_only(
    plan: Plan, node: Node, state: State, kept: tuple[OpenAction, ...], start: datetime, trigger: str, at: datetime, *,
    done: frozenset[ActionRef] = frozenset(), event_ref: str | None = None,
) -> Decision:  # fmt: skip
    """Go on with some of the visit's timers only; without any, until its last window ends; where that is over, there is nothing to wait for."""
    after = replace(state, actions=kept)
    if all(action.ref.name == CLOSE for action in kept):
        closes_at = closing_time(plan, node, state.contact, start)
        if closes_at is None or closes_at <= at:
            return complete(state, after, trigger, at, done=done, event_ref=event_ref)
        after = replace(after, actions=(OpenAction(ActionRef(node.id, state.visit, CLOSE), closes_at),))
    return Decision(state, after, done=done, verdicts=(Verdict.VOIDED_TIMER,))


def follow(plan: Plan, state: State, way: Transition, cause: Cause, at: datetime, now: datetime) -> Decision:
    """Take a way on: to its node, or to the end."""
    if way.to == STOP:
        return complete(state, state, cause.trigger, at, event_ref=cause.ref or None)
    return enter(plan, state, way.to, cause, at, now, origin=state)


def enter(
    plan: Plan,
    state: State,
    node_id: str,
    cause: Cause,
    at: datetime,
    now: datetime,
    *,
    origin: State,
    actor: str | None = None,
) -> Decision:
    """Begin a visit: a send is scheduled from `now`, a wait's timers from `at`."""
    count = state.visits.get(node_id, 0) + 1
    if plan.max_visits is not None and count > plan.max_visits:
        return complete(origin, state, cause.trigger, at, reason="max_visits", event_ref=cause.ref or None)
    entered = max(at, state.entered_at or at)
    node = plan.node(node_id)
    after = replace(
        state,
        node_id=node_id,
        visit=state.visit + 1,
        visits={**state.visits, node_id: count},
        entered_at=entered,
        actions=(),
        cause=cause,
    )
    if node.action is NodeAction.SEND:
        send = OpenAction(
            ActionRef(node_id, after.visit, SEND),
            send_at(plan, node, now, state.contact),
            PAUSED if state.status is CampaignStatus.PAUSED else None,
        )
        after = replace(after, message=None, earlier=state.message or state.earlier, actions=(send,))
    else:  # from a send that never left, the message is the last one that did
        after = arm(plan, node, replace(after, message=state.message or state.earlier, earlier=None), entered)
        if not after.actions:
            return complete(origin, after, cause.trigger, at, event_ref=cause.ref or None)
    return moved(origin, after, cause.trigger, at, event_ref=cause.ref or None, actor=actor)


def complete(
    before: State, state: State, trigger: str, at: datetime, *, done: frozenset[ActionRef] = frozenset(),
    reason: str | None = None, event_ref: str | None = None, actor: str | None = None,
) -> Decision:  # fmt: skip
    """End the campaign as its plan meant."""
    after = replace(state, status=CampaignStatus.COMPLETED, actions=())
    return moved(before, after, trigger, at, done=done, reason=reason, event_ref=event_ref, actor=actor)


def moved(
    before: State, after: State, trigger: str, at: datetime, *, done: frozenset[ActionRef] = frozenset(),
    reason: str | None = None, event_ref: str | None = None, actor: str | None = None,
) -> Decision:  # fmt: skip
    """The decision that a transition is recorded and `after` holds."""
    move = Move(
        before.seq + 1,
        before.node_id,
        after.node_id,
        before.status,
        after.status,
        str(trigger),
        at,
        reason,
        event_ref,
        actor,
    )
    return Decision(before, replace(after, seq=move.seq), (move,), done, (Verdict.MOVED,))
