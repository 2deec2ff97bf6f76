"""Does this plan make sense, and how much can it do to one contact?

Proofs over the typed tree, before anything is activated: every target exists, every node can be reached, every wait and loop ends, every
template is sound. `facts` bounds what a contact can get and how long it can take. All graph walks keep a stack of their own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from dripiq.domain.events import AWAITED_BY_TIMER
from dripiq.domain.plan.document import MAX_BYTES
from dripiq.domain.plan.durations import format_duration
from dripiq.domain.plan.faults import Fault, FaultCode, did_you_mean, plan_error, quoted
from dripiq.domain.plan.graph import components, is_loop, reachable
from dripiq.domain.plan.model import STOP, Node, NodeAction, Plan, Transition
from dripiq.domain.plan.parse import read_plan
from dripiq.domain.render import check_template
from dripiq.domain.states import Channel
from dripiq.domain.timing import quiet_length, zone_names
from dripiq.domain.visits import OPEN_END


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """What a plan can do to one contact, at most.

    Attributes:
        most_messages: messages sent on the way with the most of them.
        longest: from the first entry to the end on the slowest way, with full quiet hours before every send; without what the plan does not
            rule: limits, retries, pauses.
        nodes: how many nodes there are.
    """

    most_messages: int
    longest: timedelta
    nodes: int


def check_plan(source: str | bytes | Mapping[str, object], *, max_bytes: int = MAX_BYTES) -> Plan:
    """A plan that can be activated: read and verified.

    Raises:
        PlanError: `facts["faults"]` lists every fault; those of meaning are looked for where the form lets a plan be read at all.
    """
    plan, faults = read_plan(source, max_bytes=max_bytes)
    if plan is not None:
        faults = [*faults, *verify(plan)]
    if faults or plan is None:
        raise plan_error(faults)
    return plan


def verify(plan: Plan) -> list[Fault]:
    """Every fault of meaning, in the order of the document; empty for a plan that can be activated."""
    faults = [*_zone(plan), *_quiet_hours(plan)]
    if plan.start_node_id not in plan.nodes:
        faults.append(_dangling("$.startNodeId", plan.start_node_id, plan.nodes))
        unreachable: set[str] = set()
    else:
        unreachable = set(plan.nodes) - reachable(plan.start_node_id, _ways(plan))
    loops = {} if plan.max_visits is not None else dict(_loops(plan))
    for index, node in enumerate(plan.nodes.values()):
        path = f"$.nodes[{index}]"
        if node.id in unreachable:
            message = f"Nothing leads to the node {quoted(node.id)}: give it a transition that does, or remove it."
            faults.append(Fault(path, FaultCode.UNREACHABLE_NODE, message))
        if node.id in loops:
            message = f'The loop {loops[node.id]} has no bound: break it, or set "maxVisits".'
            faults.append(Fault(path, FaultCode.ENDLESS_LOOP, message))
        faults.extend(_content(path, node))
        faults.extend(_channel(path, node, plan))
        faults.extend(_transitions(path, node, plan))
    return faults


def facts(plan: Plan) -> PlanFacts:
    """The bounds of a plan that `verify` finds no fault in. Exact without loops; with `maxVisits`, every node of a loop counts that often."""
    quiet = quiet_length(plan.quiet_hours)
    messages: dict[str, int] = {STOP: 0}
    seconds: dict[str, float] = {STOP: 0.0}
    ways = _ways(plan)
    for members in components(ways):  # targets come before what leads to them
        loop = is_loop(members, ways)
        visits = (plan.max_visits or 1) if loop else 1
        sends = [plan.nodes[member].action is NodeAction.SEND for member in members]
        onward = {target for member in members for target in ways[member]} - set(members)
        most = visits * sum(sends) + max((messages[target] for target in onward), default=0)
        if loop:
            slowest = visits * sum(_stay(plan.nodes[member], quiet).total_seconds() for member in members)
            slowest += max((seconds[target] for target in onward), default=0.0)
        else:
            slowest = _slowest_way(plan.nodes[members[0]], quiet, seconds)
        for member in members:
            messages[member], seconds[member] = most, slowest
    start = plan.start_node_id
    return PlanFacts(messages[start], timedelta(seconds=min(seconds[start], 86_400.0 * 999_999)), len(plan.nodes))


def _ways(plan: Plan) -> dict[str, list[str]]:
    return {
        node.id: list(dict.fromkeys(way.to for way in node.transitions if way.to in plan.nodes))
        for node in plan.nodes.values()
    }


def _zone(plan: Plan) -> Iterator[Fault]:
    if plan.timezone not in zone_names():
        near = did_you_mean(plan.timezone, zone_names())
        message = f'There is no time zone {quoted(plan.timezone)}{near}: write an IANA name, such as "Europe/Berlin".'
        yield Fault("$.timezone", FaultCode.UNKNOWN_TIMEZONE, message)


def _quiet_hours(plan: Plan) -> Iterator[Fault]:
    if plan.quiet_hours is not None and plan.quiet_hours.start == plan.quiet_hours.end:
        message = "Quiet hours that end when they start cover the whole day, so nothing is ever sent: make them differ, or remove them."
        yield Fault("$.quietHours", FaultCode.NEVER_OPEN, message)


def _loops(plan: Plan) -> Iterator[tuple[str, str]]:
    """The first node of every loop, with the loop as text."""
    ways = _ways(plan)
    for members in components(ways):
        if is_loop(members, ways):
            inside = [node_id for node_id in plan.nodes if node_id in set(members)]
            shown = " → ".join([*inside[:6], *(["…"] if len(inside) > 6 else []), inside[0]])
            yield inside[0], shown


def _content(path: str, node: Node) -> Iterator[Fault]:
    if node.action is not NodeAction.SEND:
        return
    content = node.contents[0]
    needed = (
        {"subject": content.subject, "body": content.body} if node.channel is Channel.EMAIL else {"body": content.body}
    )
    for key, template in needed.items():
        if template is None or not template.strip():
            message = f'The node {quoted(node.id)} sends a message without "{key}": write one.'
            yield Fault(f"{path}.{key}", FaultCode.MISSING_CONTENT, message)
        else:
            for problem in check_template(template):
                yield Fault(f"{path}.{key}", FaultCode(problem.code), problem.message)


def _channel(path: str, node: Node, plan: Plan) -> Iterator[Fault]:
    """A campaign is a contact's on one channel, so that it can be enrolled, paused and suppressed as one."""
    first = next(iter(plan.nodes.values()))
    if node.channel is not first.channel:
        message = f"The node {quoted(node.id)} is on {node.channel}, and {quoted(first.id)} on {first.channel}: write a plan for each channel."
        yield Fault(f"{path}.channel", FaultCode.MIXED_CHANNELS, message)


def _transitions(path: str, node: Node, plan: Plan) -> Iterator[Fault]:
    seen: dict[str, int] = {}
    for index, way in enumerate(node.transitions):
        here = f"{path}.transitions[{index}]"
        if way.to != STOP and way.to not in plan.nodes:
            yield _dangling(f"{here}.to", way.to, plan.nodes)
        if way.on in seen:
            message = f'"{way.on}" is answered by transitions[{seen[way.on]}] already: keep one.'
            yield Fault(f"{here}.on", FaultCode.AMBIGUOUS_TRANSITION, message)
        seen.setdefault(way.on, index)
    for timer in node.timers:
        awaited = AWAITED_BY_TIMER[timer.on]
        event = node.answer(awaited)
        if event is not None and event.within is not None and timer.after is not None and event.within > timer.after:
            message = (
                f'"{awaited}" counts for {format_duration(event.within)}, but "{timer.on}" moves on after '
                f'{format_duration(timer.after)}: make "within" no longer than "after".'
            )
            yield Fault(f"{path}.transitions[{seen[awaited]}].within", FaultCode.WINDOW_OUTLIVES_TIMER, message)
    if node.action is NodeAction.WAIT and all(way.after is None and way.within is None for way in node.transitions):
        message = (
            f'Nothing ends the wait {quoted(node.id)}: give it a timer, such as "no_click" with "after", or a "within".'
        )
        yield Fault(f"{path}.transitions", FaultCode.ENDLESS_WAIT, message)


def _dangling(path: str, target: str, nodes: Mapping[str, Node]) -> Fault:
    known = nodes if path == "$.startNodeId" else [*nodes, STOP]
    message = f"There is no node {quoted(target)}{did_you_mean(target, known)}: name a node's id" + (
        "." if path == "$.startNodeId" else ' or "stop".'
    )
    return Fault(path, FaultCode.DANGLING_TARGET, message)


def _open(node: Node) -> timedelta:
    """How long a visit can last from the start of its windows: a timer whose event the node answers ends it for certain."""
    certain = [
        timer.after for timer in node.timers if timer.after is not None and node.answer(AWAITED_BY_TIMER[timer.on])
    ]
    if certain:
        return min(certain)
    return max((_end(way, OPEN_END) for way in node.transitions), default=timedelta(0))


def _end(way: Transition, otherwise: timedelta) -> timedelta:
    limit = way.after if way.after is not None else way.within
    return otherwise if limit is None else limit


def _stay(node: Node, quiet: timedelta) -> timedelta:
    return _before_send(node, quiet) + _open(node)


def _before_send(node: Node, quiet: timedelta) -> timedelta:
    return node.delay + quiet if node.action is NodeAction.SEND else timedelta(0)


def _slowest_way(node: Node, quiet: timedelta, seconds: Mapping[str, float]) -> float:
    """Seconds from entry to the end of the campaign, where the targets' are known."""
    longest = _open(node)
    ends = [longest.total_seconds() if node.transitions else 0.0]
    for way in node.transitions:
        left = min(_end(way, longest), longest)
        ends.append(left.total_seconds() + seconds.get(way.to, 0.0))
    return _before_send(node, quiet).total_seconds() + max(ends)
