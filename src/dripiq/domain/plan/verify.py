"""Does this plan make sense?

Proofs over the typed tree, before anything is activated: every target exists, every node can be reached and every way on be taken, every wait and loop
ends, every message has something to say and, where it answers, something to answer. A plan without faults cannot bring the machine to a dead end, round a
loop without bound, or to a node that is not there; a model check (`tests/unit/test_plan_model_check.py`) holds it to that. What a plan can do at most is
`facts`' question.
"""

from collections.abc import Iterator, Mapping
from itertools import islice

from dripiq.domain.plan.document import MAX_BYTES
from dripiq.domain.plan.faults import MAX_FAULTS, MORE_FAULTS, Fault, FaultCode, Hints, plan_error, quoted
from dripiq.domain.plan.glance import glance, no_start, unknown_zone
from dripiq.domain.plan.graph import components, is_loop
from dripiq.domain.plan.messages import content_faults
from dripiq.domain.plan.model import CONTACT_ZONE, Node, Plan
from dripiq.domain.plan.parse import read_plan
from dripiq.domain.plan.paths import graph_of
from dripiq.domain.plan.stays import Before, Exit, Standing, exits, standings
from dripiq.domain.plan.ways import way_faults
from dripiq.domain.timing import never_open


def check_plan(source: str | bytes | Mapping[str, object], *, max_bytes: int = MAX_BYTES) -> Plan:
    """A plan that can be activated: read and verified.

    Raises:
        PlanError: `facts["faults"]` lists every fault; where the form does not let the plan be read, of those of meaning the ones that show all the same.
    """
    plan, faults, document = read_plan(source, max_bytes=max_bytes)
    if plan is not None:
        faults = _shown([*faults, *verify(plan)])
    elif document is not None:
        told = {fault.path for fault in faults}
        faults = _shown([*faults, *(fault for fault in islice(glance(document), MAX_FAULTS) if fault.path not in told)])
    if faults or plan is None:
        raise plan_error(faults)
    return plan


def verify(plan: Plan) -> list[Fault]:
    """Every fault of meaning, in the order of the document (of more than a report shows, the first); none in a plan that can be activated."""
    return _shown(list(islice(_faults(plan), MAX_FAULTS + 1)))


def _shown(faults: list[Fault]) -> list[Fault]:
    return faults if len(faults) <= MAX_FAULTS else [*faults[:MAX_FAULTS], MORE_FAULTS]


def _faults(plan: Plan) -> Iterator[Fault]:
    hints = Hints()
    yield from _zones(plan, hints)
    yield from _opening(plan)
    if plan.start_node_id not in plan.nodes:
        yield no_start(plan.start_node_id, plan.nodes, hints)
    reached = standings(plan)
    known: dict[str, dict[Before, tuple[Exit, ...]]] = {node_id: {} for node_id in plan.nodes}
    for (node_id, before), ways in reached.items():
        known[node_id][before] = ways
    unreachable = {node_id for node_id, found in known.items() if not found} if reached else set()
    for node_id, found in known.items():
        if not found:  # looked at as if it could be reached
            found[Before.YES] = exits(plan, plan.nodes[node_id], Before.YES)
    loops = {} if plan.max_visits is not None else dict(_loops(plan, known))
    for index, node in enumerate(plan.nodes.values()):
        path = f"$.nodes[{index}]"
        if node.id in unreachable:
            yield _unreachable(path, node, plan)
        if node.id in loops:
            message = f'The loop {loops[node.id]} has no bound: break it, or set "maxVisits".'
            yield Fault(path, FaultCode.ENDLESS_LOOP, message)
        yield from content_faults(path, node)
        yield from _channel(path, node, plan)
        yield from _thread(path, node, known[node.id])
        yield from way_faults(path, node, plan, known[node.id], hints)


def _zones(plan: Plan, hints: Hints) -> Iterator[Fault]:
    zones = {"$.timezone": plan.timezone}
    if plan.timezone == CONTACT_ZONE:
        zones = {"$.defaults.timezone": plan.fallback_timezone}
    for path, name in zones.items():
        yield from unknown_zone(path, name, hints)


def _opening(plan: Plan) -> Iterator[Fault]:
    quiet = plan.quiet_hours
    if quiet is not None and quiet.start == quiet.end:
        message = "Quiet hours that end when they start cover the whole day, so nothing is ever sent: make them differ, or remove them."
        yield Fault("$.quietHours", FaultCode.NEVER_OPEN, message)
    elif never_open(plan):
        message = (
            "The quiet hours cover every moment of the send window, so nothing is ever sent: leave some of it open."
        )
        yield Fault("$.sendWindow", FaultCode.NEVER_OPEN, message)


def _unreachable(path: str, node: Node, plan: Plan) -> Fault:
    named = any(way.to == node.id for each in plan.nodes.values() if each is not node for way in each.transitions)
    lead = "Nothing that can happen leads" if named else "Nothing leads"
    message = f"{lead} to the node {quoted(node.id)}: give it a transition that does, or remove it."
    return Fault(path, FaultCode.UNREACHABLE_NODE, message)


def _loops(plan: Plan, known: Mapping[str, Mapping[Before, tuple[Exit, ...]]]) -> Iterator[tuple[str, str]]:
    """The first node of every loop that can really be gone round, with the loop as text."""
    ways: dict[Standing, tuple[Exit, ...]] = {
        (node_id, before): tuple(each for each in found if each.way is None or each.way.to in plan.nodes)
        for node_id, standing in known.items()
        for before, found in standing.items()
    }
    graph = graph_of(ways)
    order = {node_id: index for index, node_id in enumerate(plan.nodes)}
    for members in components(graph):
        if is_loop(members, graph):
            inside = sorted(members, key=order.__getitem__)
            shown = " → ".join([*inside[:6], *(["…"] if len(inside) > 6 else []), inside[0]])
            yield inside[0], shown


def _channel(path: str, node: Node, plan: Plan) -> Iterator[Fault]:
    """A campaign is a contact's on one channel, so that it can be enrolled, paused and suppressed as one."""
    first = next(iter(plan.nodes.values()))
    if node.channel is not first.channel:
        message = f"The node {quoted(node.id)} is on {node.channel}, and {quoted(first.id)} on {first.channel}: write a plan for each channel."
        yield Fault(f"{path}.channel", FaultCode.MIXED_CHANNELS, message)


def _thread(path: str, node: Node, before: Mapping[Before, object]) -> Iterator[Fault]:
    if node.in_thread and not before.keys().isdisjoint((Before.NO, Before.MAYBE)):
        message = (
            f"The node {quoted(node.id)} answers the message before it, and it can be reached before any was sent: "
            'remove "replyTo", or send a message on every way to it.'
        )
        yield Fault(f"{path}.replyTo", FaultCode.NOTHING_TO_ANSWER, message)
