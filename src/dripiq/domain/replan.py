"""What becomes of a campaign whose plan is changed while it runs?

The machine's rule for `Replan`, handed in under the new plan:

* The position is kept. On a node of the same kind the visit goes on: a message that was sent counts as sent, is never sent again, and its windows and
  timers start when it was accepted; a wait's start on its entry. New spans are held against those starts, so a timer may be due at once.
* A send that is still to come keeps its time, unless its delay or the plan's calendar changed: then it is found anew from the entry.
* Onto a node of the other kind the campaign enters anew, now. (A wait that becomes the send whose message came last counts as that one, sent.)
* A timer that an event has made void stays void.
* An action is only ever scheduled under a visit number that was never used, so that no key meets one of the past; what stays as it was keeps its own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from dripiq.domain.moves import (
    IN_DOUBT,
    PAUSED,
    SEND,
    ActionRef,
    Cause,
    Decision,
    OpenAction,
    Replan,
    State,
    Verdict,
)
from dripiq.domain.plan.model import STOP, CalendarSpan, Node, NodeAction, Plan
from dripiq.domain.states import CampaignStatus
from dripiq.domain.timing import next_allowed, send_at
from dripiq.domain.visits import arm, complete, enter, moved

MIGRATED: Final = "migrated"
"""What the move of a campaign onto another plan is recorded as."""
PLAN_CHANGED: Final = "plan_changed"
"""Why a campaign was stopped whose node the new plan has no place for."""


def replan(plan: Plan, state: State, event: Replan, now: datetime) -> Decision:
    """The campaign goes on under another plan, from where it stands; or stops, where the plan has no place for it. While a send is in doubt, nothing moves."""
    if any(action.held == IN_DOUBT for action in state.actions):
        return Decision(state, state, verdicts=(Verdict.HELD,))
    decision = _go_on(plan, state, event, now)
    return replace(decision, verdicts=(Verdict.REPLANNED,))


def _go_on(plan: Plan, state: State, event: Replan, now: datetime) -> Decision:
    if state.node_id is None:
        return moved(state, state, MIGRATED, event.at, actor=event.actor)
    if event.node_id == STOP:
        stopped = replace(state, status=CampaignStatus.STOPPED, actions=())
        return moved(state, stopped, MIGRATED, event.at, reason=PLAN_CHANGED, actor=event.actor)
    node, old, message = plan.node(event.node_id), event.since.node(state.node_id), state.message
    pending = next((action for action in state.actions if action.ref.name == SEND), None)
    if node.action is NodeAction.SEND:
        if pending is not None:
            return _go_on_sending(plan, node, state, pending, event, now)
        if message is not None and (old.action is NodeAction.SEND or (event.sent_by or message.node_id) == node.id):
            return _go_on_waiting(plan, node, state, message.accepted_at, event)
    elif old.action is NodeAction.WAIT:
        return _go_on_waiting(plan, node, state, state.entered_at or now, event)
    return enter(plan, state, node.id, Cause("", MIGRATED), event.at, now, origin=state, actor=event.actor)


def _go_on_sending(plan: Plan, node: Node, state: State, pending: OpenAction, event: Replan, now: datetime) -> Decision:
    """The send stays what it is, or becomes the other node's; one that is held for what the old plan said passes the gates again."""
    old = event.since.node(pending.ref.node_id)
    run_at, held = pending.run_at, pending.held
    if _calendar(plan) != _calendar(event.since) or _span(node.delay) != _span(old.delay):
        found = send_at(plan, node, state.entered_at or now, state.contact)
        run_at = max(found, next_allowed(plan, now, state.contact))
    said_else = (node.contents, node.sender_identity_id) != (old.contents, old.sender_identity_id)
    if held not in (None, PAUSED) and said_else:
        held, run_at = None, max(run_at, next_allowed(plan, now, state.contact))
    here = state if node.id == state.node_id else _renumbered(state, node)
    send = OpenAction(ActionRef(node.id, here.visit, SEND), run_at, held)
    return moved(state, replace(here, actions=(send,)), MIGRATED, event.at, actor=event.actor)


def _go_on_waiting(plan: Plan, node: Node, state: State, start: datetime, event: Replan) -> Decision:
    """The visit's windows and timers are those of the node, from the old start."""
    before = {action.ref.name for action in state.actions}
    old = event.since.node(state.node_id or "")
    void = {timer.on for timer in old.timers} - before if old.action is node.action else set()
    armed = arm(plan, node, state, start, void=void)
    if node.id != state.node_id or not {action.ref.name for action in armed.actions} <= before:
        armed = arm(plan, node, _renumbered(state, node), start, void=void)
    if not armed.actions:
        return complete(state, armed, MIGRATED, event.at, actor=event.actor)
    return moved(state, armed, MIGRATED, event.at, actor=event.actor)


def _renumbered(state: State, node: Node) -> State:
    """The present visit under a new number, counted as one of `node`; the old name has one less, so that going back adds up."""
    visits = dict(state.visits)
    if state.node_id is not None and state.node_id != node.id:
        left = visits.pop(state.node_id, 1) - 1
        visits |= {state.node_id: left} if left else {}
        visits[node.id] = visits.get(node.id, 0) + 1
    return replace(state, node_id=node.id, visit=state.visit + 1, visits=visits)


def _calendar(plan: Plan) -> tuple[object, ...]:
    """All that decides, beside a node's delay, when a send may leave."""
    return (
        plan.timezone,
        plan.fallback_timezone,
        plan.quiet_hours,
        plan.send_window,
        plan.holidays,
        plan.jitter,
    )


def _span(span: object) -> tuple[object, bool]:
    return span, isinstance(span, CalendarSpan)


# ---- which node stands for which


def targets(old: Plan, new: Plan, mapping: Mapping[str, str]) -> dict[str, str]:
    """The new plan's node, or `STOP`, for each node of the old one that has one: as mapped, else that of the same id and action."""
    found = {}
    for node in old.nodes.values():
        same = new.nodes.get(node.id)
        if node.id in mapping:
            found[node.id] = mapping[node.id]
        elif same is not None and same.action is node.action:
            found[node.id] = node.id
    return found


def ways_back(old: Plan, new: Plan, forward: Mapping[str, str]) -> dict[str, str]:
    """The mapping that takes campaigns from `new` back to `old`, where `targets` took them `forward`; where several nodes became one, none but its namesake."""
    back: dict[str, str] = {}
    taken = targets(old, new, forward)
    for node_id in new.nodes:
        origins = [origin for origin, target in taken.items() if target == node_id]
        if len(origins) == 1:
            back[node_id] = origins[0]
    return back


def sends_ahead(plan: Plan, state: State) -> Iterator[Node]:
    """Every send node that the campaign can still come to from where it stands, once each; its present one only where the message is still to leave."""
    if state.status.is_final:
        return
    waiting = [state.node_id or plan.start_node_id]
    entered = state.node_id is None or any(action.ref.name == SEND for action in state.actions)
    seen: set[str] = set()
    if not entered:
        waiting = [way.to for way in plan.node(waiting[0]).transitions]
    while waiting:
        node_id = waiting.pop()
        if node_id == STOP or node_id in seen:
            continue
        seen.add(node_id)
        node = plan.node(node_id)
        waiting += [way.to for way in node.transitions]
        if node.action is NodeAction.SEND:
            yield node
