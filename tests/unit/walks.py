"""Plans that nobody thought of, and every walk through them that the machine allows."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta

from hypothesis import reject
from hypothesis import strategies as st

from dripiq.domain.events import AWAITED_BY_TIMER, CONTACT_WIDE, IMPLIES, Trigger
from dripiq.domain.evidence import way_on
from dripiq.domain.machine import advance
from dripiq.domain.moves import (
    SEND,
    Accepted,
    Happened,
    Input,
    Move,
    OpenAction,
    Refused,
    Start,
    State,
    TimerDue,
)
from dripiq.domain.plan.faults import FaultCode
from dripiq.domain.plan.model import ALWAYS_STOP, STOP, Content, Node, NodeAction, Plan, QuietHours, Transition
from dripiq.domain.plan.paths import ENDED, MAX_VISITS, Step
from dripiq.domain.plan.verify import verify
from dripiq.domain.states import CampaignStatus, Channel, Confidence
from dripiq.domain.visits import OPEN_END

T0 = datetime(2026, 3, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MOMENT = timedelta(seconds=1)

EVENTS = [trigger for trigger in Trigger if not trigger.is_timer]


# ---- plans

hours = st.integers(0, 3).map(lambda count: count * HOUR)
calm = {"quiet_hours": st.none()}


@st.composite
def drafts(draw: st.DrawFn, most_nodes: int = 4) -> Plan:
    """Plans with any faults of meaning but targets that are not there; their loops are bounded."""
    names = ["a", "b", "c", "d", "e", "f", "g", "h"][: draw(st.integers(1, most_nodes))]
    nodes = {}
    for name in names:
        triggers = draw(st.lists(st.sampled_from(Trigger), unique=True, max_size=4))
        ways = tuple(
            Transition(
                trigger,
                draw(st.sampled_from([*names, STOP])),
                within=None if trigger.is_timer else draw(st.none() | hours),
                after=draw(hours) if trigger.is_timer else None,
                min_confidence=Confidence.MACHINE if trigger.is_timer else draw(st.sampled_from(Confidence)),
            )
            for trigger in triggers
        )
        sends = draw(st.booleans())
        nodes[name] = Node(
            name,
            Channel.EMAIL,
            NodeAction.SEND if sends else NodeAction.WAIT,
            (Content("Subject", "Body"),) if sends else (),
            delay=draw(hours) if sends else timedelta(0),
            in_thread=sends and draw(st.booleans()),
            transitions=ways,
        )
    return Plan(
        "1.1",
        "UTC",
        "a",
        nodes,
        "hash",
        quiet_hours=draw(st.none() | st.just(QuietHours(time(13), time(15)))),
        max_visits=draw(st.integers(1, 2)),
        stop_on=frozenset(draw(st.sets(st.sampled_from([Trigger.REPLIED, Trigger.BOUNCED])))) | ALWAYS_STOP,
    )


def plans(most_nodes: int = 4) -> st.SearchStrategy[Plan]:
    """Plans without faults."""
    return drafts(most_nodes).map(mended)


def mended(plan: Plan) -> Plan:
    """The plan without what is wrong with it."""
    while faults := verify(plan):
        nodes = dict(enumerate(plan.nodes.values()))
        for fault in faults:
            mend(nodes, fault.path, fault.code)
        kept = {node.id: node for node in nodes.values()}
        plan = replace(plan, nodes=kept)
    return plan


def mend(nodes: dict[int, Node], path: str, code: FaultCode) -> None:
    index, *more = (int(part.split("]")[0]) for part in path.split("[")[1:])
    node = nodes.get(index)
    if node is None:
        return
    match code:
        case FaultCode.UNREACHABLE_NODE:
            del nodes[index]
        case FaultCode.NOTHING_TO_ANSWER:
            nodes[index] = replace(node, in_thread=False)
        case FaultCode.ENDLESS_WAIT:
            ending = Transition(Trigger.NO_REPLY, STOP, after=HOUR)
            nodes[index] = replace(node, transitions=(*node.transitions, ending))
        case FaultCode.NEVER_TAKEN | FaultCode.WINDOW_OUTLIVES_TIMER | FaultCode.DANGLING_TARGET:
            gone = more[0]
            if gone < len(node.transitions):
                ways = tuple(way for place, way in enumerate(node.transitions) if place != gone)
                nodes[index] = replace(node, transitions=ways)
        case _:
            raise AssertionError(f"{path}: {code}")


# ---- walks


@dataclass(frozen=True)
class Walk:
    """What a campaign has gone through so far; `end` where it is over, None for an end outside the plan."""

    state: State
    now: datetime = T0
    steps: tuple[Step, ...] = ()
    sent: int = 0
    end: str | None = None
    answered_nothing: bool = False
    heard: tuple[Happened, ...] = ()

    @property
    def elapsed(self) -> timedelta:
        return self.now - T0


def walks(plan: Plan, *, limit: int = 20_000) -> Iterator[Walk]:
    """Every standing of every walk, where sends are handed over and events reported at once. Plans with more than `limit` are passed over."""
    first = go(plan, Walk(State(CampaignStatus.DRAFT)), Start(T0))
    waiting, seen = [first], {key_of(first)}
    while waiting:
        walk = waiting.pop()
        yield walk
        limit -= 1
        if not limit:
            reject()
        if walk.state.status.is_final:
            continue
        for event in possible(plan, walk):
            onward = go(plan, walk, event)
            if onward.state != walk.state and key_of(onward) not in seen:
                seen.add(key_of(onward))
                waiting.append(onward)


def key_of(walk: Walk) -> object:
    state = walk.state
    return (
        walk.steps,
        walk.end,
        walk.now,
        walk.sent,
        state.status,
        state.node_id,
        state.visit,
        state.message,
        state.actions,
        state.cause and state.cause.trigger,
        tuple((one.trigger, one.taken_as) for one in walk.heard if one.at == walk.now),
    )


def possible(plan: Plan, walk: Walk) -> Iterator[Input]:
    """What can happen next, at every moment at which it makes a difference."""
    state = walk.state
    assert state.node_id is not None
    node = plan.node(state.node_id)
    due = min(action.run_at for action in state.actions)
    for action in state.actions:
        if action.run_at == due:
            yield from outcomes(action, walk)
    moments = sorted(at for at in {walk.now, *borders(node, state), due} if walk.now <= at <= due)
    own = state.message.id if state.message is not None else None
    for trigger in {*interesting(node)}:
        heard = (
            walk.sent or node.action is NodeAction.WAIT
        )  # of a message before this enrolment, at a wait before the first send
        if own is None and not (trigger in CONTACT_WIDE and heard):
            continue
        for at in moments:
            for confidence in (Confidence.MACHINE, Confidence.UNKNOWN, Confidence.HUMAN):
                yield Happened(at, trigger, own or "earlier", f"{trigger}{confidence}{state.seq}{at}", confidence)


def outcomes(action: OpenAction, walk: Walk) -> Iterator[Input]:
    node_id, visit, name = action.ref
    if name == SEND:
        yield Accepted(action.run_at, f"m{walk.sent}", node_id, visit)
        yield Refused(action.run_at, node_id, visit, "550")
    else:
        yield TimerDue(action.run_at, node_id, visit, name)


def borders(node: Node, state: State) -> Iterator[datetime]:
    """The last moment of each window, and the one after it."""
    start = state.message.accepted_at if state.message is not None else state.entered_at
    if node.action is NodeAction.WAIT:
        start = state.entered_at
    assert start is not None
    for way in node.transitions:
        if way.after is None:
            end = start + (OPEN_END if way.within is None else way.within)
            yield from (end, end + MOMENT)


def interesting(node: Node) -> Iterator[Trigger]:
    """What the node answers, what its timers wait for, what implies either, and what stops it."""
    heard = {way.on for way in node.transitions if way.after is None} | {
        AWAITED_BY_TIMER[way.on] for way in node.timers
    }
    yield from heard
    yield from (event for event, implied in IMPLIES.items() if implied in heard)
    yield from (Trigger.REPLIED, Trigger.UNSUBSCRIBED)


def go(plan: Plan, walk: Walk, event: Input) -> Walk:
    """One input more, at its own time."""
    heard = [one for one in walk.heard if one.at >= event.at]  # what came before the entry is not handed in again
    heard += [event] if isinstance(event, Happened) else []
    decision = advance(plan, walk.state, [event], heard, event.at)
    taken = {move.event_ref: move.trigger for move in decision.moves}
    sent = walk.sent + isinstance(event, Accepted)
    alone = isinstance(event, Accepted) and plan.node(event.node_id).in_thread and not walk.sent
    steps, end = walk.steps, None
    for move in decision.moves:
        if move.trigger == "started":
            continue
        cause = next((one for one in heard if one.ref == move.event_ref), None)
        step, end = read(plan, move, decision.after, cause)
        steps = (*steps, *step)
    if walk.state.status is CampaignStatus.DRAFT and decision.after.status is CampaignStatus.COMPLETED:
        end = ENDED
    told = tuple(replace(one, taken_as=taken.get(one.ref, one.taken_as)) for one in heard)
    return Walk(decision.after, event.at, steps, sent, end, walk.answered_nothing or alone, told)


def read(plan: Plan, move: Move, after: State, event: Happened | None) -> tuple[list[Step], str | None]:
    """The step of a path that a move is, and the end that it comes to; `event` is what caused it, where it was no timer and no provider."""
    assert move.from_node_id is not None
    step = [Step(move.from_node_id, move.trigger)]
    if move.to_status in (CampaignStatus.STOPPED, CampaignStatus.ERROR):
        return [], None
    if move.to_status is not CampaignStatus.COMPLETED:
        return step, None
    if move.reason == "max_visits":
        return step, MAX_VISITS
    node = plan.node(move.from_node_id)
    # An event may have taken a way on, or made the last timer void and left nothing to wait for.
    answered = any(way.on == move.trigger for way in node.transitions)
    taken = answered if event is None else way_on(plan, node, after, event)[0] is not None
    return (step, STOP) if taken else ([Step(node.id, None)], ENDED)
