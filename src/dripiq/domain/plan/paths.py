"""Which ways lead from the start of a plan to an end, and how many are there?

A path is what one contact can go through: nodes, and what each is left by. Paths are counted, and the longest is found, by adding up from the ends: no path
is walked for it, so there may be more than anybody could list. `shortest` then lists the first of them, best first. Where `maxVisits` bounds a loop, the
visits of its nodes are part of where one stands; loops with too many such places are not counted. What happens outside the plan (a stop rule, an operator,
an error) can cut any path short, and is no path of its own. All walks keep a stack of their own.
"""

import heapq
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from itertools import count
from typing import Final, NamedTuple

from dripiq.domain.plan.graph import Graph, components, is_loop
from dripiq.domain.plan.model import STOP, NodeAction, Plan
from dripiq.domain.plan.stays import Before, Exit, Standing, standings, target
from dripiq.domain.timing import longest_closed

ENDED: Final = "end"
"""How a path ends where none of a node's ways on can happen any more, or it has none."""
MAX_VISITS: Final = "maxVisits"
"""How a path ends that would enter a node once more than the plan allows."""

MAX_PLACES: Final = 5_000
"""Places in loops (nodes with their visits so far) that are told apart; in a loop of hundreds of nodes, so many hundred times fewer."""
MAX_SEARCHED: Final = 10_000
"""Beginnings of paths that a listing looks at."""

_MICROSECOND: Final = timedelta(microseconds=1)
_CAP: Final = timedelta(days=999_999)


class Step(NamedTuple):
    """A node of a path, and what it is left by: the trigger of a transition, or None where the path ends there."""

    node: str
    on: str | None


@dataclass(frozen=True, slots=True)
class Path:
    """One way from the start to an end.

    Attributes:
        end: `STOP`, `ENDED` or `MAX_VISITS`.
        messages: how many the contact gets on it, at most.
        shortest: the least time from the first entry to the end, where sends are handed over and events reported at once.
        longest: the most.
    """

    steps: tuple[Step, ...]
    end: str
    messages: int
    shortest: timedelta
    longest: timedelta


class Extent(NamedTuple):
    """What can still come, from some place on: how many paths, the most messages, and the longest time in microseconds."""

    paths: int
    messages: int
    longest: int


class Place(NamedTuple):
    """Where one stands on a path; the visits so far are those of the nodes of the loop that the node is in, as digits of one number."""

    standing: Standing
    visits: int = 0


@dataclass(frozen=True, slots=True)
class _Trail:
    """The exits taken so far, the last first."""

    before: "_Trail | None"
    node: str
    exit: Exit
    steps: int


class Paths:
    """All paths of a plan that `verify` finds no fault in."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._exits = standings(plan, longest_closed(plan))
        graph = graph_of(self._exits)
        self._allowed = plan.max_visits or 1
        digit = self._allowed.bit_length() + 1
        self._digits = 2**digit - 1
        self._loops: dict[str, tuple[int, int]] = {}  # of a node in a loop: which loop, and where its digit begins
        for number, members in enumerate(components(graph)):
            if is_loop(members, graph):
                self._loops.update((node, (number, index * digit)) for index, node in enumerate(members))
        self._start = self._entered((plan.start_node_id, Before.NO), None) or Place((plan.start_node_id, Before.NO))

    def extent(self) -> Extent | None:
        """What can come of the plan as a whole; None where its loops have too many places."""
        return None if self._extents is None else self._extents[self._start]

    def longest(self) -> Path | None:
        """The path that can last longest (of several, the first in the plan's order); None where its loops have too many places."""
        if self._extents is None:
            return None
        extents, trail, here = self._extents, None, self._start
        while True:
            exit_, leads = max(
                self._onward(here),
                key=lambda way: _micros(way[0]) + (0 if isinstance(way[1], str) else extents[way[1]].longest),
            )
            trail = _Trail(trail, here.standing[0], exit_, 0)
            if isinstance(leads, str):
                return self._path(trail, leads)
            here = leads

    def shortest(self, limit: int) -> Iterator[Path]:
        """The paths with the fewest nodes, `limit` at most, in their order, of equal ones in the plan's. Fewer come where loops hide the ends too well."""
        left, numbers = self._steps_left(), count()
        waiting: list[tuple[int, int, _Trail | None, Place | str]] = [(0, 0, None, self._start)]
        for _ in range(MAX_SEARCHED):
            if not waiting or not limit:
                return
            _, _, trail, here = heapq.heappop(waiting)
            if isinstance(here, str):
                limit -= 1
                yield self._path(trail, here)
                continue
            steps = 1 if trail is None else trail.steps + 1
            for exit_, leads in reversed(list(self._onward(here))):
                onward = 0 if isinstance(leads, str) else left[leads.standing]
                # Of equal ones, the newest first: depth first, so that the first end is found soon.
                entry = (steps + onward, -next(numbers), _Trail(trail, here.standing[0], exit_, steps), leads)
                heapq.heappush(waiting, entry)

    def _onward(self, place: Place) -> Iterator[tuple[Exit, Place | str]]:
        """Every exit from a place, with the next place or the end that it leads to."""
        for exit_ in self._exits[place.standing]:
            leads = target(exit_)
            if leads is None:
                yield exit_, ENDED if exit_.way is None else STOP
            else:
                yield exit_, self._entered(leads, place) or MAX_VISITS

    def _entered(self, standing: Standing, origin: Place | None) -> Place | None:
        """The place that one comes to; None where the plan does not allow one more visit."""
        entered = self._loops.get(standing[0])
        if entered is None:
            return Place(standing)
        loop, shift = entered
        left = None if origin is None else self._loops.get(origin.standing[0])
        visits = (origin.visits if origin is not None and left is not None and left[0] == loop else 0) + (1 << shift)
        return Place(standing, visits) if (visits >> shift) & self._digits <= self._allowed else None

    @cached_property
    def _extents(self) -> Mapping[Place, Extent] | None:
        found: dict[Place, Extent] = {}
        walk = [self._start]
        ways: dict[Place, list[tuple[Exit, Place | str]]] = {}
        places = 0
        while walk:
            here = walk[-1]
            if here not in ways:
                ways[here] = list(self._onward(here))
                places += 1 + here.visits.bit_length() // 1_000 if here.visits else 0
                if places > MAX_PLACES:
                    return None
                walk.extend(leads for _, leads in ways[here] if not isinstance(leads, str) and leads not in ways)
                continue
            walk.pop()
            if here not in found:
                found[here] = self._sum(here, ways[here], found)
        return found

    def _sum(self, here: Place, ways: Sequence[tuple[Exit, Place | str]], found: Mapping[Place, Extent]) -> Extent:
        paths = messages = longest = 0
        for exit_, leads in ways:
            onward = _END if isinstance(leads, str) else found[leads]
            paths += onward.paths
            messages = max(messages, onward.messages)
            longest = max(longest, _micros(exit_) + onward.longest)
        return Extent(paths, messages + self._sends(here.standing[0]), longest)

    def _steps_left(self) -> Mapping[Standing, int]:
        """How many exits each standing is away from an end, at least; inside a loop, where `maxVisits` may end a path anywhere, one."""
        leading_to: dict[Standing, list[Standing]] = {standing: [] for standing in self._exits}
        left: dict[Standing, int] = {}
        for standing, exits in self._exits.items():
            onward = [leads for leads in map(target, exits) if leads is not None]
            for leads in onward:
                leading_to[leads].append(standing)
            if len(onward) < len(exits) or standing[0] in self._loops:
                left[standing] = 1
        waiting = deque(left)
        while waiting:
            nearer = waiting.popleft()
            for standing in leading_to[nearer]:
                if standing not in left:
                    left[standing] = left[nearer] + 1
                    waiting.append(standing)
        return left

    def _path(self, trail: _Trail | None, end: str) -> Path:
        steps, shortest, longest = [], 0, 0
        while trail is not None:
            steps.append(Step(trail.node, None if trail.exit.way is None else str(trail.exit.way.on)))
            shortest += trail.exit.soonest // _MICROSECOND
            longest += _micros(trail.exit)
            trail = trail.before
        messages = sum(self._sends(step.node) for step in steps)
        return Path(tuple(reversed(steps)), end, messages, as_span(shortest), as_span(longest))

    def _sends(self, node_id: str) -> int:
        return int(self._plan.nodes[node_id].action is NodeAction.SEND)


_END: Final = Extent(1, 0, 0)


def graph_of(exits: Mapping[Standing, Sequence[Exit]]) -> Graph:
    """The nodes that can be reached, each with those that it really leads to."""
    graph: dict[str, dict[str, None]] = {}
    for (node, _), ways in exits.items():
        onward = graph.setdefault(node, {})
        onward.update(dict.fromkeys(leads[0] for leads in map(target, ways) if leads is not None))
    return {node: list(onward) for node, onward in graph.items()}


def as_span(micros: int) -> timedelta:
    """Microseconds as a duration; of what is longer than any, the longest that can be written."""
    return min(micros, _CAP // _MICROSECOND) * _MICROSECOND


def _micros(exit_: Exit) -> int:
    return exit_.latest // _MICROSECOND
