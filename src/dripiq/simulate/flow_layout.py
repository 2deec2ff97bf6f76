"""Where does each node of a plan stand in a picture?

In layers from top to bottom: a node one layer below the lowest that leads to it, ways back left aside. A way that passes layers by is given a place in
each of them, so that it passes beside the boxes and not through them. Within a layer the order is that of what leads there (the barycentre, a few sweeps
down and up). Pure, and the same on every machine.

Source: Sugiyama, Tagawa, Toda, "Methods for Visual Understanding of Hierarchical System Structures" (1981).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

BOX_WIDTH: Final = 236.0
LANE_WIDTH: Final = 24.0
GAP: Final = 36.0
_SWEEPS: Final = 8

Edge = tuple[str, str]
Place = tuple[float, int]
"""Middle of the box, from the left; and layer, from the top."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything stands.

    Attributes:
        places: of each node.
        routes: of each edge downwards, the places that it passes, its ends included.
        back: the edges that lead upwards, sideways or to their own node.
        width: of the widest layer.
        layers: how many.
    """

    places: Mapping[str, Place]
    routes: Mapping[Edge, Sequence[Place]]
    back: frozenset[Edge]
    width: float
    layers: int


def lay_out(nodes: Sequence[str], edges: Iterable[Edge]) -> Layout:
    """Give each node its place; the first node is the start."""
    edges = list(dict.fromkeys(edges))
    back = _back_edges(nodes, edges)
    layer = _layers(nodes, [edge for edge in edges if edge not in back])
    rows: list[list[str]] = [[] for _ in range(max(layer.values(), default=0) + 1)]
    for node in nodes:
        rows[layer[node]].append(node)
    chains: dict[Edge, list[str]] = {}
    for start, end in edges:
        if (start, end) in back:
            continue
        lanes = [f"{start}\x00{end}\x00{at}" for at in range(layer[start] + 1, layer[end])]
        for lane, at in zip(lanes, range(layer[start] + 1, layer[end]), strict=True):
            rows[at].append(lane)
        chains[start, end] = [start, *lanes, end]
    _order(rows, [link for chain in chains.values() for link in pairwise(chain)])
    middles, width = _middles(rows, set(nodes))
    where = {name: (middles[name], at) for at, row in enumerate(rows) for name in row}
    routes = {edge: [where[name] for name in chain] for edge, chain in chains.items()}
    return Layout({node: where[node] for node in nodes}, routes, frozenset(back), width, len(rows))


def _back_edges(nodes: Sequence[str], edges: Sequence[Edge]) -> set[Edge]:
    """The edges that close a loop, seen from the first node, each node's edges in their order."""
    ways: dict[str, list[str]] = {node: [] for node in nodes}
    for start, end in edges:
        ways[start].append(end)
    back: set[Edge] = set()
    done: set[str] = set()
    for root in nodes:
        stack = [(root, iter(ways[root]))] if root not in done else []
        open_nodes = {root} if stack else set()
        while stack:
            node, onward = stack[-1]
            target = next(onward, None)
            if target is None:
                stack.pop()
                done.add(node)
                open_nodes.discard(node)
            elif target in open_nodes:
                back.add((node, target))
            elif target not in done:
                open_nodes.add(target)
                stack.append((target, iter(ways[target])))
    return back


def _layers(nodes: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """One below the lowest that leads there."""
    layer = dict.fromkeys(nodes, 0)
    for _ in nodes:
        moved = False
        for start, end in edges:
            if layer[end] <= layer[start]:
                layer[end], moved = layer[start] + 1, True
        if not moved:
            break
    return layer


def _order(rows: list[list[str]], links: Sequence[Edge]) -> None:
    """Sort each layer by the middle of what it is linked to, from above and from below in turns."""
    above: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}
    for start, end in links:
        below.setdefault(start, []).append(end)
        above.setdefault(end, []).append(start)
    for sweep in range(_SWEEPS):
        near = above if sweep % 2 == 0 else below
        at = {
            name: place / max(1, len(row) - 1) if len(row) > 1 else 0.5
            for row in rows
            for place, name in enumerate(row)
        }
        for row in rows if sweep % 2 == 0 else reversed(rows):
            middle = {n: sum(at[other] for other in near[n]) / len(near[n]) if n in near else at[n] for n in row}
            row.sort(key=middle.__getitem__)
            at |= {name: place / max(1, len(row) - 1) if len(row) > 1 else 0.5 for place, name in enumerate(row)}


def _middles(rows: Sequence[Sequence[str]], boxes: set[str]) -> tuple[dict[str, float], float]:
    """Where each stands in its layer, and how wide the widest layer is; all layers are centred."""
    widths = [[BOX_WIDTH if name in boxes else LANE_WIDTH for name in row] for row in rows]
    totals = [sum(row) + GAP * max(0, len(row) - 1) for row in widths]
    widest = max(totals, default=0.0)
    middles = {}
    for row, own, total in zip(rows, widths, totals, strict=True):
        left = (widest - total) / 2
        for name, width in zip(row, own, strict=True):
            middles[name] = left + width / 2
            left += width + GAP
    return middles, widest
