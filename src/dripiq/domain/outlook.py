"""When can a campaign's next message leave, and what could happen before it does?

The machine and the gates themselves, asked ahead of time: nothing here decides anything of its own. A send is followed as dispatch would: it is judged when
it is due, and again at each time that it is put off to. What waits for somebody never leaves by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from dripiq.domain.events import CONTACT_WIDE
from dripiq.domain.gates import (
    MOVED_ON,
    SENDER_MISSING,
    SENDER_UNVERIFIED,
    Closed,
    Effect,
    SendFacts,
    first_closed,
    limited,
)
from dripiq.domain.machine import advance
from dripiq.domain.moves import SEND, Accepted, Happened, Message, OpenAction, State, TimerDue
from dripiq.domain.plan.model import STOP, Node, NodeAction, Plan, Transition
from dripiq.domain.states import Confidence
from dripiq.domain.timing import later
from dripiq.domain.visits import closing_time

ASKS_AGAIN_FOR_EVER: Final = frozenset({SENDER_MISSING, SENDER_UNVERIFIED})
"""Put-offs that no time ends: they look again and again whether somebody has acted."""

MOST_STEPS: Final = 1_000
"""Timers followed one after the other, as through waits; a plan's loops are bounded, and few come near this."""


class Knowledge(Protocol):
    """What is known of a contact and its tenant."""

    def facts(self, node: Node, state: State, at: datetime) -> SendFacts:
        """What the gates look at if this node's message were to leave at that time."""
        ...

    def fault(self, node: Node, state: State) -> Closed | None:
        """What holds this node's message once every gate is open: a value that its text needs and the contact lacks, or a doubt."""
        ...


@dataclass(frozen=True, slots=True)
class Departure:
    """When a message can leave.

    Attributes:
        at: the first instant (UTC); None where it never does by itself.
        closed: then, what it meets, and `met_at`, when.
    """

    node_id: str
    at: datetime | None
    closed: Closed | None = None
    met_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """One way on from where the campaign stands, or will stand once its message has left.

    Attributes:
        on: the event or timer.
        to: a node's id, or `stop`.
        at: for a timer: when it fires (UTC).
        until: for an event: the last instant at which it still counts; None where it has no end of its own.
        then: the next message on this way at the earliest; None where the campaign ends without one.
    """

    on: str
    to: str
    at: datetime | None = None
    until: datetime | None = None
    min_confidence: Confidence = Confidence.MACHINE
    then: Departure | None = None


def open_send(state: State) -> OpenAction | None:
    """The send of the present visit that is still to happen."""
    return next((action for action in state.actions if action.ref.name == SEND), None)


def obstacle(plan: Plan, state: State, node: Node, known: Knowledge, at: datetime) -> Closed | None:
    """What dispatch would meet if this node's message were due at `at`; None: it leaves."""
    facts = known.facts(node, state, at)
    return first_closed(facts, plan, at) or known.fault(node, state) or limited(facts, plan, at)


def departure(plan: Plan, state: State, send: OpenAction, known: Knowledge, now: datetime) -> Departure:
    """When an open send can leave, from `now` on."""
    at, node_id = max(send.run_at, now), send.ref.node_id
    if send.held is not None:
        return Departure(node_id, None, Closed(send.held, Effect.HOLD), now)
    if node_id not in plan.nodes:
        return Departure(node_id, None, Closed(MOVED_ON, Effect.DROP), at)
    while (closed := obstacle(plan, state, plan.node(node_id), known, at)) is not None:
        if closed.effect is not Effect.PUT_OFF or closed.until is None or closed.code in ASKS_AGAIN_FOR_EVER:
            return Departure(node_id, None, closed, at)
        at = closed.until
    return Departure(node_id, at)


def by_itself(
    plan: Plan, state: State, known: Knowledge, recorded: Sequence[Happened], now: datetime
) -> Departure | None:
    """The next message if nothing happens but time; None where the campaign ends without one."""
    for _ in range(MOST_STEPS):
        send = open_send(state)
        if send is not None:
            return departure(plan, state, send, known, now)
        if not state.actions:
            return None
        timer = min(state.actions, key=lambda action: action.run_at)
        now = max(now, timer.run_at)
        state = advance(plan, state, [_due(timer)], recorded, now).after
    return None


def ways_on(plan: Plan, state: State, known: Knowledge, recorded: Sequence[Happened], now: datetime) -> list[Way]:
    """What can still move the campaign from where it stands: timers in the order of their times, then events.

    A visit whose message is still to leave is taken as if it left as soon as it can; one that never does has no ways on.
    """
    send = open_send(state)
    if send is not None:
        left = departure(plan, state, send, known, now).at
        if left is None:
            return []
        message = Message("", left)
        now, state = left, advance(plan, state, [Accepted(left, message.id, *send.ref[:2])], (), left).after
    node = plan.nodes.get(state.node_id or "")
    if state.status.is_final or node is None:
        return []
    timers = sorted((a for a in state.actions if a.ref.name != SEND), key=lambda action: action.run_at)
    ways = [_after_timer(plan, state, node, timer, known, recorded, now) for timer in timers]
    ends = timers[0].run_at if timers else None
    events = (_after_event(plan, state, node, way, ends, known, now) for way in node.transitions if not way.on.is_timer)
    return [*ways, *(way for way in events if way is not None)]


def _after_timer(
    plan: Plan,
    state: State,
    node: Node,
    timer: OpenAction,
    known: Knowledge,
    recorded: Sequence[Happened],
    now: datetime,
) -> Way:
    way = next((way for way in node.timers if way.on == timer.ref.name), None)
    fired = max(now, timer.run_at)
    after = advance(plan, state, [_due(timer)], recorded, fired).after
    then = by_itself(plan, after, known, recorded, fired)
    return Way(timer.ref.name, way.to if way is not None else STOP, at=timer.run_at, then=then)


def _after_event(
    plan: Plan, state: State, node: Node, way: Transition, ends: datetime | None, known: Knowledge, now: datetime
) -> Way | None:
    """The way that an event opens if it happens at `now`; None where it is too late for it."""
    start = state.entered_at if node.action is NodeAction.WAIT or state.message is None else state.message.accepted_at
    until = later(plan, start, way.within, state.contact) if way.within is not None and start is not None else None
    if way.within is None and not node.timers and start is not None and way.on not in CONTACT_WIDE:
        until = closing_time(plan, node, state.contact, start)
    if ends is not None and way.on not in CONTACT_WIDE:
        until = min(until, ends) if until is not None else ends
    if until is not None and until < now:
        return None
    message_id = state.message.id if state.message is not None else ""
    happened = Happened(now, way.on, message_id, "to come", Confidence.HUMAN)
    after = advance(plan, state, [happened], (), now).after
    then = by_itself(plan, after, known, (), now)
    return Way(way.on, way.to, until=until, min_confidence=way.min_confidence, then=then)


def _due(timer: OpenAction) -> TimerDue:
    return TimerDue(timer.run_at, timer.ref.node_id, timer.ref.visit, timer.ref.name)
