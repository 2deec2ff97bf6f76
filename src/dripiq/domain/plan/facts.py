"""How much can a plan do to one contact?

Facts of a plan without faults: nothing here guesses. Told for sends that are handed over, and events that are reported, at once, and without what no plan
rules: limits, retries, pauses.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from dripiq.domain.plan.durations import format_duration
from dripiq.domain.plan.graph import components, is_loop
from dripiq.domain.plan.model import NodeAction, Plan
from dripiq.domain.plan.paths import Path, Paths, as_span, graph_of
from dripiq.domain.plan.stays import standings
from dripiq.domain.timing import longest_closed

_MICROSECOND: Final = timedelta(microseconds=1)
_LARGEST: Final = 2**53
"""The largest number that every reader of JSON keeps exact (RFC 8259, section 6)."""


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """What a plan can do to one contact.

    Attributes:
        most_messages: messages sent on the path with the most of them.
        longest: from the first entry to the end on the slowest path, where each send waits as long as it can for an allowed moment.
        nodes: how many nodes there are.
        paths: how many paths there are; None where loops make too many to count, and `most_messages` and `longest` are bounds that no path may reach.
        slowest: the path that takes `longest`; None with `paths`.
    """

    most_messages: int
    longest: timedelta
    nodes: int
    paths: int | None
    slowest: Path | None


def facts(plan: Plan) -> PlanFacts:
    """The facts of a plan that `verify` finds no fault in."""
    paths = Paths(plan)
    extent = paths.extent()
    if extent is None:
        messages, longest = _bounds(plan)
        return PlanFacts(messages, as_span(longest), len(plan.nodes), None, None)
    return PlanFacts(extent.messages, as_span(extent.longest), len(plan.nodes), extent.paths, paths.longest())


def facts_as_data(known: PlanFacts) -> dict[str, object]:
    """The facts for a program: durations in ISO 8601; a number of paths beyond 2^53 as text."""
    exact = known.paths is None or known.paths <= _LARGEST
    return {
        "nodes": known.nodes,
        "most_messages": known.most_messages,
        "longest": format_duration(known.longest),
        "paths": known.paths if exact else count_as_text(known.paths),
        "slowest": None if known.slowest is None else path_as_data(known.slowest),
    }


def path_as_data(path: Path) -> dict[str, object]:
    """A path for a program."""
    return {
        "steps": [{"node": step.node, "on": step.on} for step in path.steps],
        "end": path.end,
        "messages": path.messages,
        "shortest": format_duration(path.shortest),
        "longest": format_duration(path.longest),
    }


def path_as_text(path: Path) -> str:
    """A path for people: `intro -opened-> wait_click -clicked-> stop`."""
    shown = "".join(f"{step.node} -{step.on}-> " if step.on else f"{step.node} -> " for step in path.steps)
    return shown + path.end


def count_as_text(number: int | None) -> str:
    """A number of paths for people: exact while it can be read, then rounded (`about 3.1e41`)."""
    if number is None:
        return "too many to count"
    if number <= _LARGEST:
        return f"{number:,}"
    # In two steps, because a number may have more digits than a float, or the interpreter's own limit for text, allows.
    power = int((number.bit_length() - 1) * 0.301029995663981195)
    power += number >= 10 ** (power + 1)
    return f"about {number // 10 ** (power - 1) / 10:.1f}e{power}"


def _bounds(plan: Plan) -> tuple[int, int]:
    """Messages and microseconds that no path exceeds: every node of a loop counts as often as it may be visited."""
    exits = standings(plan, longest_closed(plan))
    graph = graph_of(exits)
    slowest: dict[str, int] = {}
    for (node, _), ways in exits.items():
        slowest[node] = max([slowest.get(node, 0), *(exit_.latest // _MICROSECOND for exit_ in ways)])
    messages: dict[str, int] = {}
    longest: dict[str, int] = {}
    for members in components(graph):  # what a component leads to comes before it
        visits = (plan.max_visits or 1) if is_loop(members, graph) else 1
        onward = {target for member in members for target in graph[member]} - set(members)
        sends = sum(plan.nodes[member].action is NodeAction.SEND for member in members)
        most = visits * sends + _most(messages[target] for target in onward)
        slow = visits * sum(slowest[member] for member in members) + _most(longest[target] for target in onward)
        messages.update(dict.fromkeys(members, most))
        longest.update(dict.fromkeys(members, slow))
    return messages[plan.start_node_id], longest[plan.start_node_id]


def _most(numbers: Iterable[int]) -> int:
    return max(numbers, default=0)
