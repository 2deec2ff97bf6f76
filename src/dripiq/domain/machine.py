"""What does a campaign do when something happens to it?

A protocol as a table (`TABLE`: status × input → rule) and a small driver. `step` answers one input, `advance` a batch of them in the order of their own
times. Rules, from the plan language's reference:

* A final state absorbs everything; a pause changes only whether sends are held.
* An event belongs to the message of the present visit, or moves nothing; `unsubscribed`, `spamreport`, `bounced` and `replied` belong to the contact and
  count whenever they come.
* A window (`within`) is held against the event's own time; a timer that was due before the event goes first.
* Timers go off in the order of their times, at one instant in the order in which the plan lists them, however they come in.
* A timer is void once a qualifying event of the kind it waits for was taken. A visit none of whose ways on can happen any more completes the campaign:
  a `CLOSE` action sees to that when the last window ends.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from dripiq.domain.events import CONTACT_WIDE, Trigger
from dripiq.domain.evidence import taken_as, void_timers, way_on, window_start
from dripiq.domain.moves import (
    CLOSE,
    IN_DOUBT,
    PAUSED,
    SEND,
    Accepted,
    ActionRef,
    Cause,
    Decision,
    Happened,
    Input,
    Message,
    OpenAction,
    Pause,
    Refused,
    Replan,
    Resume,
    Start,
    State,
    Stop,
    TimerDue,
    Verdict,
)
from dripiq.domain.plan.model import ALWAYS_STOP, STOP, Node, NodeAction, Plan
from dripiq.domain.replan import replan
from dripiq.domain.states import CampaignStatus
from dripiq.domain.timing import next_allowed
from dripiq.domain.visits import arm, complete, enter, follow, keep_only, moved

_TURNS: Final = (Start, Accepted, Refused, Happened, TimerDue, Replan, Pause, Resume, Stop)

_LET_EVENTS_PASS: Final = frozenset({Verdict.VOIDED_TIMER, Verdict.REPLANNED})
"""After these, events that were passed over may mean something."""

_LOOKS_BACK: Final = _LET_EVENTS_PASS | {Verdict.ARMED}


def step(plan: Plan, state: State, event: Input, now: datetime) -> Decision:
    """Answer one input.

    Args:
        plan: a verified plan.
        state: where the campaign stands.
        event: what happened; its `at` is its own time.
        now: the engine's time (aware, UTC); new sends are scheduled from it.

    Returns:
        The decision; its `verdicts` hold one word on what was made of the input.
    """
    return TABLE[state.status, type(event)](plan, state, event, now)


def advance(plan: Plan, state: State, events: Iterable[Input], recorded: Iterable[Happened], now: datetime) -> Decision:
    """Answer a batch of inputs in the order of their own times.

    Whenever a visit gains its message (on entry of a wait, on acceptance of a send), loses a timer that held later events back, or goes on under another
    plan, the events recorded of that message at or after the entry are handed in again; none is taken twice as the same thing, so the batch ends.

    Args:
        recorded: the stored events of the campaign's present message, those of the batch included or not.
    """
    decision = Decision(state, state)
    queue = sorted(events, key=_turn, reverse=True)
    # What is recorded knows as what it was taken; a copy that comes in anew does not.
    stored = {event.ref: event for event in (*queue, *recorded) if isinstance(event, Happened)}
    while queue:
        event, here = queue.pop(), decision.after
        if isinstance(event, Happened):
            event = stored[event.ref]
        answer = step(plan, here, event, now)
        decision = decision.then(answer)
        for move in answer.moves:
            if move.event_ref in stored:
                stored[move.event_ref] = replace(stored[move.event_ref], taken_as=move.trigger)
        arrived = (answer.after.message, answer.after.visit) != (here.message, here.visit)
        if arrived or not _LET_EVENTS_PASS.isdisjoint(answer.verdicts):
            again = _to_hand_again(answer.after, (e for e in stored.values() if arrived or e != event))
            queue = [e for e in queue if not (isinstance(e, Happened) and e.ref in again)]
            queue = sorted((*queue, *again.values()), key=_turn, reverse=True)
    return decision


def looks_back(plan: Plan, decision: Decision) -> bool:
    """Whether recorded events may change a decision that `advance` made without them: a wait was entered, or something let events pass that were held back."""
    entered = (plan.nodes.get(move.to_node_id or "") for move in decision.moves)
    waits = any(node is not None and node.action is NodeAction.WAIT for node in entered)
    return waits or not _LOOKS_BACK.isdisjoint(decision.verdicts)


def _turn(event: Input) -> tuple[datetime, int, str]:
    """Which comes first, the same on every machine: by time; at one instant an event before the timer that waits for it."""
    detail = f"{event.trigger} {event.ref}" if isinstance(event, Happened) else repr(event)
    return event.at, _TURNS.index(type(event)), detail


def _to_hand_again(state: State, stored: Iterable[Happened]) -> dict[str, Happened]:
    return {
        event.ref: event
        for event in stored
        if state.message is not None
        and event.message_id == state.message.id
        and state.entered_at is not None
        and event.at >= state.entered_at
        and event.taken_as != event.trigger
    }


# ---- rules: (plan, state, input, now) -> decision


def _ignore(_plan: Plan, state: State, _event: Input, _now: datetime) -> Decision:
    """Nothing: the campaign is over, or such an input means nothing in this status."""
    return _nothing(state, Verdict.FINAL if state.status.is_final else Verdict.NOT_APPLICABLE)


def _start(plan: Plan, state: State, event: Start, now: datetime) -> Decision:
    """The draft becomes active and enters its first node."""
    active = replace(state, status=CampaignStatus.ACTIVE)
    return enter(plan, active, plan.start_node_id, Cause("", "started"), event.at, now, origin=state, actor=event.actor)


def _pause(_plan: Plan, state: State, event: Pause, _now: datetime) -> Decision:
    """Sends are held; timers keep their clock."""
    held = tuple(replace(a, held=PAUSED) if a.ref.name == SEND and a.held is None else a for a in state.actions)
    after = replace(state, status=CampaignStatus.PAUSED, actions=held)
    return moved(state, after, "paused", event.at, actor=event.actor)


def _release(plan: Plan, state: State, event: Resume, now: datetime) -> Decision:
    """Resume a pause, or let sends that are held for their own reasons pass the gates again; what is in doubt stays."""
    freed = tuple(
        replace(a, held=None, run_at=next_allowed(plan, max(a.run_at, now), state.contact))
        if a.held not in (None, IN_DOUBT)
        else a
        for a in state.actions
    )
    after = replace(state, status=CampaignStatus.ACTIVE, actions=freed)
    if state.status is CampaignStatus.PAUSED:
        return moved(state, after, "resumed", event.at, actor=event.actor)
    return Decision(state, after, verdicts=(Verdict.RELEASED if after != state else Verdict.NOT_APPLICABLE,))


def _stop(_plan: Plan, state: State, event: Stop, _now: datetime) -> Decision:
    """The campaign ends, with a reason; nothing is sent in it any more."""
    after = replace(state, status=CampaignStatus.STOPPED, actions=())
    return moved(state, after, "stopped", event.at, reason=event.reason, actor=event.actor, event_ref=event.event_ref)


def _accept(plan: Plan, state: State, event: Accepted, now: datetime) -> Decision:
    """The message is the present visit's: its windows and timers start. A send without a way on completes the campaign."""
    if (event.node_id, event.visit) != (state.node_id, state.visit) or state.message is not None:
        return _nothing(state, Verdict.OTHER_VISIT if state.message is None else Verdict.TAKEN_BEFORE)
    node = plan.node(event.node_id)
    sent = replace(state, message=Message(event.message_id, event.at, node.id, event.visit), earlier=None, actions=())
    done = frozenset({ActionRef(event.node_id, event.visit, SEND)})
    if not node.transitions:
        return complete(state, sent, "sent", event.at, done=done)
    return Decision(state, arm(plan, node, sent, event.at), done=done, verdicts=(Verdict.ARMED,))


def _refuse(plan: Plan, state: State, event: Refused, now: datetime) -> Decision:
    """The provider will never take the message: the way on for `failed`, else the campaign ends in error."""
    if (event.node_id, event.visit) != (state.node_id, state.visit) or state.message is not None:
        return _nothing(state, Verdict.OTHER_VISIT)
    way = plan.node(event.node_id).answer(Trigger.FAILED)
    done = frozenset({ActionRef(event.node_id, event.visit, SEND)})
    if way is not None:
        return replace(follow(plan, state, way, Cause("", way.on), event.at, now), done=done)
    after = replace(state, status=CampaignStatus.ERROR, actions=())
    return moved(state, after, Trigger.FAILED, event.at, reason=event.code, done=done)


def _fire(plan: Plan, state: State, event: TimerDue, now: datetime) -> Decision:
    """A timer takes its way on, after those that go before it; the closing of the last window completes the campaign."""
    ref = ActionRef(event.node_id, event.visit, event.name)
    # A plan changed in flight may have put it off while a worker held it.
    if event.name == SEND or not any(a.ref == ref and a.run_at <= event.at for a in state.actions):
        return _nothing(state, Verdict.OTHER_VISIT)
    node = plan.node(event.node_id)
    first = _first_timer(node, state)
    if first.ref == ref:
        return _go_off(plan, state, event, now)
    # Another lease may hold it, and be worked later: which lease comes first decides nothing.
    before = _go_off(plan, state, TimerDue(first.run_at, *first.ref), now)
    left = any(action.ref == ref for action in before.after.actions)
    return before.then(_fire(plan, before.after, event, now)) if left else before


def _first_timer(node: Node, state: State) -> OpenAction:
    """The timer whose turn it is: by time, at one instant in the order of the plan, at last what the plan does not list."""
    places = {way.on.value: place for place, way in enumerate(node.transitions)}
    timers = (action for action in state.actions if action.ref.name != SEND)
    return min(timers, key=lambda a: (a.run_at, places.get(a.ref.name, len(places)), a.ref.name))


def _go_off(plan: Plan, state: State, event: TimerDue, now: datetime) -> Decision:
    ref = ActionRef(event.node_id, event.visit, event.name)
    done = frozenset({ref})
    if event.name == CLOSE:
        return complete(state, state, CLOSE, event.at, done=done)
    node = plan.node(event.node_id)
    way = node.answer(Trigger(event.name))
    if way is None:  # of a plan that the campaign no longer follows
        kept = tuple(action for action in state.actions if action.ref != ref)
        return keep_only(plan, node, state, kept, window_start(node, state, event), event.name, event.at, done=done)
    return replace(follow(plan, state, way, Cause("", event.name), event.at, now), done=done)


def _take(plan: Plan, state: State, event: Happened, now: datetime) -> Decision:
    """An event takes a way on, makes a timer void, stops the campaign where it belongs to the contact, or only stays recorded."""
    if taken_as(state, event) == event.trigger:
        return _nothing(state, Verdict.TAKEN_BEFORE)
    wide = event.trigger in CONTACT_WIDE
    own = state.message is not None and state.message.id == event.message_id
    verdict = Verdict.OTHER_MESSAGE
    if state.node_id is not None and (own or wide):
        if not wide and any(a.ref.name != SEND and a.run_at < event.at for a in state.actions):
            return _nothing(state, Verdict.AFTER_TIMER)
        node = plan.node(state.node_id)
        way, verdict = way_on(plan, node, state, event)
        if way is not None and (event.trigger not in ALWAYS_STOP or way.to == STOP):
            return follow(plan, state, way, Cause(event.ref, way.on), event.at, now)
        if own:
            voided = void_timers(plan, node, state, event)
            if voided is not None and not (wide and event.trigger in plan.stop_on):
                return voided
    if wide and (event.trigger in plan.stop_on or event.trigger in ALWAYS_STOP):
        after = replace(state, status=CampaignStatus.STOPPED, actions=())
        return moved(state, after, event.trigger, event.at, reason=event.trigger, event_ref=event.ref)
    return _nothing(state, verdict)


def _take_in_draft(plan: Plan, state: State, event: Happened, now: datetime) -> Decision:
    """Before its start a campaign has no message: only what belongs to the contact counts."""
    return _take(plan, state, event, now) if event.trigger in CONTACT_WIDE else _nothing(state, Verdict.NOT_APPLICABLE)


Rule = Callable[[Plan, State, Any, datetime], Decision]
_S = CampaignStatus
_RULES: Final[Mapping[type, tuple[Rule, ...]]] = {
    #         draft           active    paused    completed  stopped  error
    Start:    (_start,         _ignore,  _ignore,  _ignore,   _ignore, _ignore),
    Pause:    (_ignore,        _pause,   _ignore,  _ignore,   _ignore, _ignore),
    Resume:   (_ignore,        _release, _release, _ignore,   _ignore, _ignore),
    Stop:     (_stop,          _stop,    _stop,    _ignore,   _ignore, _ignore),
    Accepted: (_ignore,        _accept,  _accept,  _ignore,   _ignore, _ignore),
    Refused:  (_ignore,        _refuse,  _refuse,  _ignore,   _ignore, _ignore),
    TimerDue: (_ignore,        _fire,    _fire,    _ignore,   _ignore, _ignore),
    Happened: (_take_in_draft, _take,    _take,    _ignore,   _ignore, _ignore),
    Replan:   (replan,         replan,   replan,   _ignore,   _ignore, _ignore),
}  # fmt: skip
TABLE: Final[Mapping[tuple[CampaignStatus, type], Rule]] = {
    (status, kind): rule
    for kind, rules in _RULES.items()
    for status, rule in zip((_S.DRAFT, _S.ACTIVE, _S.PAUSED, _S.COMPLETED, _S.STOPPED, _S.ERROR), rules, strict=True)
}
"""The whole protocol: what answers each input in each status."""


def _nothing(state: State, verdict: Verdict) -> Decision:
    return Decision(state, state, verdicts=(verdict,))
